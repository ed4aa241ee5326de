package normalize

import (
	"bytes"
	"net/netip"

	"domicile.dev/domicile/internal/rawjson"
)

// endpoint is what a provider's "source address" turned out to be: 16 % of CloudTrail's are no addresses.
type endpoint struct {
	node    int32 // where it stands, None if nowhere
	addr    netip.Addr
	port    uint16
	hasPort bool
	service bool // a host name of the provider's: svc_name
	named   bool // any other text: name
}

// source reads the source address from the first of the slots that holds something.
func (b *builder) source(slots ...slot) {
	b.endpoint = endpoint{node: rawjson.None}
	n := b.node(slots...)
	if n == rawjson.None || b.tree.Kind(n) != rawjson.KindString {
		return
	}
	text := b.tree.Text(n)
	e := endpoint{node: n}
	switch {
	case len(text) == 0, string(text) == "<null>", string(text) == "-":
		return
	case e.address(text):
	case bytes.IndexByte(text, '.') > 0 && bytes.IndexByte(text, ' ') < 0:
		e.service = true
	default:
		e.named = true
	}
	b.endpoint = e
}

// address reads 203.0.113.25, 203.0.113.25:443, 2001:db8::1, [2001:db8::1]:443, ::ffff:203.0.113.25, fe80::1%eth0.
func (e *endpoint) address(text []byte) bool {
	if len(text) > 64 || !(text[0] == '[' || text[0] == ':' || hexDigit(text[0])) {
		return false
	}
	if a, ok := ipv4(text); ok {
		e.addr = a
		return true
	}
	s := string(text)
	if ap, err := netip.ParseAddrPort(s); err == nil {
		e.addr, e.port, e.hasPort = ap.Addr().WithZone("").Unmap(), ap.Port(), true
		return true
	}
	if a, err := netip.ParseAddr(s); err == nil {
		e.addr = a.WithZone("").Unmap()
		return true
	}
	return false
}

func hexDigit(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

// ipv4 is netip.ParseAddr for the common case, without the string.
func ipv4(text []byte) (netip.Addr, bool) {
	var a [4]byte
	part, digits, n := 0, 0, 0
	for _, c := range text {
		switch {
		case c >= '0' && c <= '9':
			if digits > 0 && n == 0 {
				return netip.Addr{}, false // leading zero: octal to some
			}
			n = n*10 + int(c-'0')
			if digits++; n > 255 {
				return netip.Addr{}, false
			}
		case c == '.' && digits > 0 && part < 3:
			a[part] = byte(n)
			part, digits, n = part+1, 0, 0
		default:
			return netip.Addr{}, false
		}
	}
	if part != 3 || digits == 0 {
		return netip.Addr{}, false
	}
	a[3] = byte(n)
	return netip.AddrFrom4(a), true
}

func putIP(b *builder, dst []byte, _ int32) []byte {
	e := &b.endpoint
	if !e.addr.IsValid() {
		return dst
	}
	said := e.addr.AppendTo(b.scratch[:0])
	if e.hasPort {
		said = netip.AddrPortFrom(e.addr, e.port).AppendTo(b.scratch[:0])
	}
	if b.scratch = said; bytes.Equal(said, b.tree.Text(e.node)) {
		b.take(e.node) // ip and port say all of it
	}
	return append(e.addr.AppendTo(append(dst, '"')), '"')
}

func putPort(b *builder, dst []byte, _ int32) []byte {
	if !b.endpoint.hasPort {
		return dst
	}
	return appendInt(dst, int64(b.endpoint.port))
}

func putServiceName(b *builder, dst []byte, _ int32) []byte {
	if !b.endpoint.service {
		return dst
	}
	return text(b, dst, b.endpoint.node)
}

// putEndpointName also speaks up where the record names no source at all: API Activity requires one.
func putEndpointName(b *builder, dst []byte, _ int32) []byte {
	e := &b.endpoint
	if e.named {
		return text(b, dst, e.node)
	}
	if b.class == apiActivity && !e.addr.IsValid() && !e.service {
		return append(dst, `"unknown"`...)
	}
	return dst
}
