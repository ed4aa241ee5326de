package log

import (
	"context"
	"slices"
	"time"
)

// How long a look-up may take. Commits wait for it: one that hangs must not stop them for good.
const lookupTimeout = 10 * time.Second

// older is what the look-up has said about the uids of one commit.
type older struct {
	answers map[key][]Found // empty: it has none
	err     error           // why it does not answer
}

// namesakes are the messages of one uid on their way into a commit.
type namesakes struct {
	uid      string
	contents []key // of those that may turn out to be new
	names    int   // how many of uid, uid~2, … are settled or asked for
	taken    int   // how many of those have an event
	asked    []key // not answered yet
	old      bool  // one of them cannot be decided by the window
}

// lookUp asks at once for all events that the window cannot decide about, and for the names under which those may have
// been committed, or will be, that share their uid with other ones.
func (j *judgement) lookUp(ctx context.Context, list []*waiting) {
	if j.older.err = j.lookups.putOff(); j.older.err != nil {
		return
	}
	for groups := j.namesakes(list); len(groups) > 0; {
		var ask []key
		groups = slices.DeleteFunc(groups, func(g *namesakes) bool {
			ask = j.extend(g, ask)
			return len(g.asked) == 0
		})
		if len(ask) == 0 || j.ask(ctx, ask) != nil {
			return
		}
		for _, g := range groups {
			for _, id := range g.asked {
				g.settle(j.older.answers[id])
			}
			g.asked = g.asked[:0]
		}
	}
}

// namesakes groups messages by uid, if the window cannot decide about all of a group.
func (j *judgement) namesakes(list []*waiting) (groups []*namesakes) {
	undecided := func(w *waiting) bool { return w.refused == nil && !j.window.decides(w.Time) }
	if !slices.ContainsFunc(list, undecided) {
		return nil
	}
	byUID := make(map[key]*namesakes)
	for _, w := range list {
		if w.refused != nil {
			continue
		}
		g := byUID[w.uid]
		if g == nil {
			g = &namesakes{uid: w.UID}
			byUID[w.uid] = g
			groups = append(groups, g)
		}
		if !slices.Contains(g.contents, w.content) {
			g.contents = append(g.contents, w.content)
		}
		g.old = g.old || undecided(w)
	}
	return slices.DeleteFunc(groups, func(g *namesakes) bool { return !g.old })
}

// extend takes as many names as its messages may need: those that have an event, and one for each message that may be
// new. It appends what has to be asked for, and asks for more the more are taken, so that questions stay few.
func (j *judgement) extend(g *namesakes, ask []key) []key {
	if g.names >= g.taken+len(g.contents) {
		return ask
	}
	for len(g.contents) > 0 && g.names < 2*g.taken+len(g.contents) {
		g.names++
		id := UIDKey(sameUID(g.uid, g.names))
		if h, ok := j.window.uids[id]; ok {
			g.settle([]Found{{Content: h.content}})
		} else if found, ok := j.older.answers[id]; ok {
			g.settle(found)
		} else {
			g.asked = append(g.asked, id)
			ask = append(ask, id)
		}
	}
	return ask
}

// settle notes what is committed under a name.
func (g *namesakes) settle(found []Found) {
	if len(found) == 0 {
		return
	}
	g.taken++
	for _, f := range found {
		if i := slices.Index(g.contents, f.Content); i >= 0 {
			g.contents = slices.Delete(g.contents, i, i+1)
		}
	}
}

// answer is what the look-up says about a uid.
func (j *judgement) answer(ctx context.Context, id key) ([]Found, error) {
	found, ok := j.older.answers[id]
	if ok {
		return found, nil
	}
	if j.older.err != nil {
		return nil, j.older.err
	}
	// lookUp did not foresee it: another uid of the commit ends in ~2.
	err := j.ask(ctx, []key{id})
	return j.older.answers[id], err
}

// ask looks uids up. After it has failed once it is not asked again for this commit.
func (j *judgement) ask(ctx context.Context, ids []key) error {
	if j.scan == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, lookupTimeout)
		defer cancel()
	}
	found, err := j.lookup.Find(ctx, j.origin, j.window.s0-1, ids)
	if err != nil {
		j.older.err = j.lookups.note(err)
		return j.older.err
	}
	j.lookups.clear()
	if j.older.answers == nil {
		j.older.answers = make(map[key][]Found)
	}
	for _, id := range ids {
		j.older.answers[id] = nil
	}
	for _, f := range found {
		j.older.answers[f.UID] = append(j.older.answers[f.UID], f)
	}
	return nil
}
