package normalize

import "domicile.dev/domicile/internal/rawjson"

// instant is a time as a record states it.
type instant struct {
	ms   int64  // since the epoch, rounded down
	text []byte // RFC 3339, with the fraction and the zone that the record has
	node int32  // where the record says it
}

// parseTime reads the spellings of time that providers use; buf is overwritten to hold instant.text.
//
//	2026-05-01T10:00:00Z            also lower case, a space for T, any fraction, ±hh:mm, ±hhmm
//	2024-06-03 15:23:22.000000000   no zone: UTC, as all three providers document their logs
//	1/9/2007 9:41:00 AM +01:00      month first (Azure); AM/PM and zone may lack
//
// A leap second (…:59:60) counts as the second after it. Years before 1970 (the zero time of some platforms among them)
// and numbers, whose unit nobody states, are no times.
func parseTime(s, buf []byte) (instant, bool) {
	p := timeParser{s: s}
	var year, month, day int
	us := false
	if len(s) > 4 && s[4] == '-' {
		year, month, day = p.digits(4, 4), p.after('-', 2, 2), p.after('-', 2, 2)
		if !p.one("Tt ") {
			return instant{}, false
		}
	} else {
		us = true
		month, day, year = p.digits(1, 2), p.after('/', 1, 2), p.after('/', 4, 4)
		p.one(" ")
	}
	hour, minute, second := p.digits(1, 2), p.after(':', 2, 2), p.after(':', 2, 2)
	fraction := p.fraction()
	if us {
		hour = p.half(hour)
	}
	offset, zone := p.zone()
	if p.bad || len(p.s) != 0 || year < 1970 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) ||
		hour > 23 || minute > 59 || second > 60 || second == 60 && minute != 59 {
		return instant{}, false
	}
	seconds := civil(year, month, day)*86400 + int64(hour*3600+minute*60+second-offset*60)
	if seconds < 0 {
		return instant{}, false
	}
	ms := int64(0)
	for i := range 3 {
		ms *= 10
		if i < len(fraction) {
			ms += int64(fraction[i] - '0')
		}
	}
	buf = append(buf[:0], byte('0'+year/1000), byte('0'+year/100%10))
	for _, part := range [...]struct {
		n   int
		end byte
	}{{year % 100, '-'}, {month, '-'}, {day, 'T'}, {hour, ':'}, {minute, ':'}, {second, 0}} {
		buf = append(buf, byte('0'+part.n/10), byte('0'+part.n%10))
		if part.end != 0 {
			buf = append(buf, part.end)
		}
	}
	if len(fraction) > 0 {
		buf = append(append(buf, '.'), fraction...)
	}
	return instant{ms: seconds*1000 + ms, text: append(buf, zone...)}, true
}

type timeParser struct {
	s    []byte
	bad  bool
	text [6]byte
}

func (p *timeParser) digits(least, most int) (n int) {
	i := 0
	for ; i < len(p.s) && i < most && p.s[i] >= '0' && p.s[i] <= '9'; i++ {
		n = n*10 + int(p.s[i]-'0')
	}
	if i < least {
		p.bad = true
	}
	p.s = p.s[i:]
	return n
}

// one reads one byte of set, if it is there.
func (p *timeParser) one(set string) bool {
	if len(p.s) == 0 {
		return false
	}
	for i := range len(set) {
		if p.s[0] == set[i] {
			p.s = p.s[1:]
			return true
		}
	}
	return false
}

func (p *timeParser) after(c byte, least, most int) int {
	if len(p.s) == 0 || p.s[0] != c {
		p.bad = true
		return 0
	}
	p.s = p.s[1:]
	return p.digits(least, most)
}

func (p *timeParser) fraction() []byte {
	if !p.one(".") {
		return nil
	}
	i := 0
	for i < len(p.s) && i < 32 && p.s[i] >= '0' && p.s[i] <= '9' {
		i++
	}
	if i == 0 {
		p.bad = true
	}
	f := p.s[:i]
	p.s = p.s[i:]
	return f
}

// half reads AM or PM, if it is there, and returns the hour of the day.
func (p *timeParser) half(hour int) int {
	s := p.s
	if len(s) < 3 || s[0] != ' ' || s[2]|0x20 != 'm' {
		return hour
	}
	half := s[1] | 0x20
	if half != 'a' && half != 'p' || hour < 1 || hour > 12 {
		if half == 'a' || half == 'p' {
			p.s = s[3:]
			// "09:41 AM" and "21:41 PM" both occur; an hour past noon needs no help.
			if half == 'a' && hour > 12 || hour == 0 && half == 'p' {
				p.bad = true
			}
		}
		return hour
	}
	p.s = s[3:]
	hour %= 12
	if half == 'p' {
		hour += 12
	}
	return hour
}

// zone returns the offset from UTC in minutes and its RFC 3339 spelling.
func (p *timeParser) zone() (minutes int, text []byte) {
	p.one(" ")
	if len(p.s) == 0 || p.one("Zz") {
		return 0, utc
	}
	sign := 1
	if p.s[0] == '-' {
		sign = -1
	}
	if !p.one("+-") {
		p.bad = true
		return 0, utc
	}
	h := p.digits(2, 2)
	p.one(":")
	m := p.digits(2, 2)
	if h > 23 || m > 59 {
		p.bad = true
	}
	p.text = [6]byte{byte(',' - sign), byte('0' + h/10), byte('0' + h%10), ':', byte('0' + m/10), byte('0' + m%10)}
	return sign * (h*60 + m), p.text[:]
}

var utc = []byte("Z")

// civil returns the days from the epoch to a date of the Gregorian calendar, year ≥ 1970.
func civil(year, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	return int64(365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 1 - 719468)
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// happened reads the record's time from the first of the slots that holds something.
func (b *builder) happened(slots ...slot) Reason {
	n := b.node(slots...)
	if n == rawjson.None {
		return NoTime
	}
	if b.tree.Kind(n) != rawjson.KindString {
		return BadTime
	}
	source := b.tree.Text(n)
	if len(source) == 0 {
		return NoTime
	}
	at, ok := parseTime(source, b.times)
	if !ok {
		return BadTime
	}
	at.node = n
	b.when, b.times = at, at.text
	return ""
}
