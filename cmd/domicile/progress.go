package main

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"
)

// bar shows people at a terminal how far long work has come. Elsewhere it is silent: logs of jobs need no bars.
type bar struct{ *progressbar.ProgressBar }

func newBar(g *global, totalBytes int64, what string, silent bool) bar {
	if !g.terminal || silent {
		return bar{}
	}
	if totalBytes <= 0 {
		totalBytes = -1
	}
	return bar{progressbar.NewOptions64(totalBytes,
		progressbar.OptionSetWriter(g.err),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(true),
		progressbar.OptionSetWidth(30),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetPredictTime(true),
	)}
}

func (b bar) add(bytes int64) {
	if b.ProgressBar != nil && bytes > 0 {
		b.Add64(bytes)
	}
}

func (b bar) set(bytes int64, events int64) {
	if b.ProgressBar != nil {
		b.Describe(fmt.Sprintf("%d events", events))
		b.Set64(bytes)
	}
}

func (b bar) done() {
	if b.ProgressBar != nil {
		b.Finish()
	}
}

// newCountBar is newBar for things that are counted; how many there are is known as it goes on.
func newCountBar(g *global, what string) bar {
	if !g.terminal {
		return bar{}
	}
	return bar{progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(g.err),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(),
		progressbar.OptionSetWidth(30),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)}
}

func (b bar) count(done, total uint64) {
	if b.ProgressBar == nil || total == 0 {
		return
	}
	if b.GetMax64() != int64(total) {
		b.ChangeMax64(int64(total))
	}
	b.Set64(int64(done))
}
