package log

import (
	"math"
	"strconv"
	"time"
)

// A held uid is one that the window can decide about.
type held struct {
	index   uint64 // of its leaf
	content key
}

// window holds the uids of all commits since s0, and of older ones dated in the future, so that a redelivered event is
// recognized without asking anybody.
//
// Let W0 be the time of commit s0−1 (−∞ for s0 = 0). An event that happened at T cannot have been committed before
// T − skew, so if T > W0 + skew, a uid that is not held was never committed. All other events that are not held have to
// be looked up. Events dated more than skew ahead of their commit are listed as ahead and stay held until
// W0 + skew ≥ T, or the argument would not hold for them.
//
// The next writer may be configured with less skew, though never with less than the least that the cell's policies have
// named. What is listed and held goes by that least skew, so that the argument holds for every writer to come.
type window struct {
	skew  int64 // ms
	least int64 // ms
	limit int   // uids held before the oldest commits are let go

	uids    map[key]held
	commits []heldCommit // from s0 on
	count   int          // uids of those commits
	s0      uint64
	w0      int64 // ms; math.MinInt64 while s0 is 0
	ahead   []aheadEvent
}

type heldCommit struct {
	seq  uint64
	time int64 // ms
	uids []key
}

// aheadEvent is an event that was dated in the future when it was committed.
type aheadEvent struct {
	index uint64
	seq   uint64 // of its commit
	time  int64  // of the event, ms
	uid   key
}

func newWindow(skew, least time.Duration, limit int) *window {
	return &window{skew: skew.Milliseconds(), least: least.Milliseconds(), limit: limit, uids: make(map[key]held), w0: math.MinInt64}
}

// startAt makes commit seq the first that is held, when a writer starts; before is the time of the commit before it.
func (w *window) startAt(seq uint64, before int64) {
	w.s0, w.w0 = seq, before
	if seq == 0 {
		w.w0 = math.MinInt64
	}
}

// decides reports whether the window alone can say that an event of this time is new, if its uid is not held.
func (w *window) decides(eventTime int64) bool {
	return w.w0 == math.MinInt64 || eventTime > w.w0+w.skew
}

// future reports whether an event of this time has to stay held if it was committed before s0.
func (w *window) future(eventTime int64) bool {
	return w.w0 == math.MinInt64 || eventTime > w.w0+w.least
}

// dated reports whether an event is dated in the future of a commit at time now.
func (w *window) dated(eventTime, now int64) bool { return eventTime > now+w.least }

// add holds a uid of the commit that is being built (or read back).
func (w *window) add(c *heldCommit, uid key, h held, eventTime int64) {
	w.uids[uid] = h
	c.uids = append(c.uids, uid)
	if w.dated(eventTime, c.time) && w.future(eventTime) {
		w.ahead = append(w.ahead, aheadEvent{h.index, c.seq, eventTime, uid})
	}
}

// addAhead holds an event of a commit before s0 that is still dated in the future.
func (w *window) addAhead(uid key, h held, eventTime int64) {
	if w.future(eventTime) {
		w.uids[uid] = h
		w.ahead = append(w.ahead, aheadEvent{h.index, 0, eventTime, uid})
	}
}

// close ends a commit and lets the oldest ones go while too many uids are held. It returns what is no longer held.
func (w *window) close(c heldCommit) (gone map[key]held) {
	w.commits = append(w.commits, c)
	w.count += len(c.uids)
	var evicted []heldCommit
	for w.count > w.limit && len(w.commits) > 1 {
		oldest := w.commits[0]
		w.commits = w.commits[1:]
		w.count -= len(oldest.uids)
		w.s0, w.w0 = oldest.seq+1, oldest.time
		evicted = append(evicted, oldest)
	}
	if evicted == nil {
		return nil
	}
	gone = make(map[key]held)
	future := make(map[key]bool)
	kept := w.ahead[:0]
	for _, a := range w.ahead {
		if w.future(a.time) {
			kept = append(kept, a)
			future[a.uid] = true
		} else if a.seq < w.s0 {
			gone[a.uid] = w.uids[a.uid]
		}
	}
	w.ahead = kept
	for _, c := range evicted {
		for _, uid := range c.uids {
			if !future[uid] {
				gone[uid] = w.uids[uid]
			}
		}
	}
	for uid := range gone {
		delete(w.uids, uid)
	}
	return gone
}

// aheadIndexes is the `ahead` member of a commit header.
func (w *window) aheadIndexes() []uint64 {
	indexes := make([]uint64, 0, len(w.ahead))
	for _, a := range w.ahead {
		indexes = append(indexes, a.index)
	}
	return indexes
}

// sameUID names the n-th event of a uid: both are kept when two events claim one, the second as …~2.
func sameUID(uid string, n int) string {
	if n == 1 {
		return uid
	}
	return uid + "~" + strconv.Itoa(n)
}
