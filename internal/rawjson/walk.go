package rawjson

// Walk goes over the members of an object like Object, but leaves it to the caller how each value is read: validated
// as a whole (Read), or walked over itself (Rest and Skip), so that nested walks pass every byte once.
//
//	w := form.Walk(src)
//	for w.Next() {
//		if w.Opens('{') {
//			n := … // walk over w.Rest(), n is its length
//			w.Skip(n)
//		} else if !w.Read() {
//			break
//		}
//	}
//	err := w.Err()
type Walk struct {
	Name  []byte // between the quotes, escapes as written
	Value []byte // after Read

	parts
}

// Walk begins a walk over the object that src starts with.
func (f Form) Walk(src []byte) Walk { return Walk{parts: parts{form: f, src: src}} }

// Next stands before the value of the next member; false at the end or on an error.
func (w *Walk) Next() bool {
	if !w.advance('{', '}', "an object") {
		return false
	}
	nameEnd, val, err := w.form.member(w.src, w.pos)
	if err != nil {
		w.err = err
		return false
	}
	w.Name, w.pos = w.src[w.pos+1:nameEnd-1], val
	return true
}

// Opens reports whether the value that Next stands before starts with these bytes.
func (w *Walk) Opens(want ...byte) bool {
	for i, c := range want {
		if w.pos+i >= len(w.src) || w.src[w.pos+i] != c {
			return false
		}
	}
	return true
}

// Rest is the input from the value on.
func (w *Walk) Rest() []byte { return w.src[w.pos:] }

// Skip passes a value of n bytes that the caller has validated.
func (w *Walk) Skip(n int) { w.pos += n }

// Read validates the value and puts it into Value; false on an error.
func (w *Walk) Read() bool {
	end, err := w.form.Value(w.src, w.pos)
	if err != nil {
		w.err = err
		return false
	}
	w.Value, w.pos = w.src[w.pos:end], end
	return true
}
