package main

import (
	"io"
	"strings"

	"github.com/rivo/uniseg"

	"domicile.dev/domicile/ledger"
)

// table prints rows in columns that fit a terminal. What is too wide gives way from the widest column on; without a
// terminal nothing does.
type table struct {
	head  []string
	rows  [][]string
	keep  int // this many columns at the beginning are never cut
	width int // of the terminal; 0: as wide as it gets
}

// add takes a row. Values come from outside: what could steer a terminal is shown as its escape.
func (t *table) add(values ...string) {
	row := make([]string, len(values))
	for i, v := range values {
		row[i] = ledger.Printable(v)
	}
	t.rows = append(t.rows, row)
}

const tableGap = 2 // blanks between columns

// print prints and forgets the rows; the head only once.
func (t *table) print(w io.Writer) error {
	widths := t.widths()
	var out strings.Builder
	if len(t.head) > 0 {
		t.line(&out, t.head, widths)
	}
	for _, row := range t.rows {
		t.line(&out, row, widths)
	}
	t.head, t.rows = nil, nil
	_, err := io.WriteString(w, out.String())
	return err
}

// widths are the columns' widths, made narrower until they fit.
func (t *table) widths() []int {
	var widths []int
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, v := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], uniseg.StringWidth(v))
		}
	}
	if t.width <= 0 {
		return widths
	}
	total := -tableGap
	for _, n := range widths {
		total += n + tableGap
	}
	const least = 6
	for ; total > t.width; total-- {
		widest := t.keep
		for i := t.keep; i < len(widths); i++ {
			if widths[i] > widths[widest] {
				widest = i
			}
		}
		if widest >= len(widths) || widths[widest] <= least {
			break
		}
		widths[widest]--
	}
	return widths
}

func (t *table) line(out *strings.Builder, row []string, widths []int) {
	var line strings.Builder
	for i, v := range row {
		v = clip(v, widths[i])
		line.WriteString(v)
		line.WriteString(strings.Repeat(" ", widths[i]-uniseg.StringWidth(v)+tableGap))
	}
	out.WriteString(strings.TrimRight(line.String(), " "))
	out.WriteByte('\n')
}

// clip cuts a text to a width, between what people see as characters.
func clip(s string, width int) string {
	if uniseg.StringWidth(s) <= width {
		return s
	}
	var out strings.Builder
	left := width - 1
	for g := uniseg.NewGraphemes(s); g.Next() && g.Width() <= left; left -= g.Width() {
		out.WriteString(g.Str())
	}
	return out.String() + "…"
}
