package interop

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"
)

// A side is one of those that are compared.
type side struct {
	name string
	turn func() turn // does its work once
}

// A turn is what a side needed once.
type turn struct {
	wall time.Duration
	cpu  time.Duration // user and system, of the whole process; nothing else runs in it
}

// measure takes the time of f.
func measure(f func()) turn {
	begin, before := time.Now(), processorTime()
	f()
	return turn{time.Since(begin), processorTime() - before}
}

func processorTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// warmUp is how many turns of each side come before those that count.
const warmUp = 2

// alternate lets the sides take turns, each working on n things, so that whatever else the machine does meets all of
// them alike. It reports their medians, and how much faster the first is than the last.
func alternate(b *testing.B, rounds, n int, things string, sides ...side) {
	b.Helper()
	turns := make([][]turn, len(sides))
	for i := range warmUp + rounds {
		for s := range sides {
			t := sides[s].turn()
			if i >= warmUp {
				turns[s] = append(turns[s], t)
			}
		}
	}
	rate := func(s int) float64 { return float64(n) / median(turns[s], wall).Seconds() }
	b.ReportMetric(0, "ns/op")
	for s := range sides {
		b.ReportMetric(rate(s), sides[s].name+"-"+things+"/s")
		b.Logf("%s: %s", sides[s].name, spread(turns[s]))
	}
	b.ReportMetric(rate(0)/rate(len(sides)-1), "ratio")
}

func wall(t turn) time.Duration { return t.wall }
func cpu(t turn) time.Duration  { return t.cpu }

func median(turns []turn, of func(turn) time.Duration) time.Duration {
	values := sorted(turns, of)
	return values[len(values)/2]
}

func sorted(turns []turn, of func(turn) time.Duration) []time.Duration {
	values := make([]time.Duration, len(turns))
	for i, t := range turns {
		values[i] = of(t)
	}
	slices.Sort(values)
	return values
}

func spread(turns []turn) string {
	values := sorted(turns, wall)
	return fmt.Sprintf("%v (%v to %v), processor %v", median(turns, wall).Round(time.Millisecond),
		values[0].Round(time.Millisecond), values[len(values)-1].Round(time.Millisecond), median(turns, cpu).Round(time.Millisecond))
}
