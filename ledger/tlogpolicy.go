package ledger

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Limits of a policy file.
const (
	MaxTrustPolicyBytes = 256 << 10
	maxPolicyItems      = 256 // of logs, of witnesses, of groups
)

// Errors of Policy.Open and Policy.Verify that a caller acts upon.
var (
	ErrUnknownLog = errors.New("the policy does not list this log")
	ErrQuorum     = errors.New("the quorum of the policy is not met")
)

// Policy says whose signatures make a checkpoint acceptable (c2sp.org/tlog-policy): one of its logs must have signed,
// and witnesses as the quorum asks. The zero Policy lists no log and accepts nothing.
//
// A Policy is a value: build it field by field and let Check look at it, or parse a file.
type Policy struct {
	Logs      []TrustedLog
	Witnesses []PolicyWitness
	Groups    []PolicyGroup // a group may name witnesses, and groups that stand before it
	Quorum    string        // name of a witness or group, or "none"
}

// TrustedLog is a `log` line. The key's name is the log's origin.
type TrustedLog struct{ VKey, URL string }

// PolicyWitness is a `witness` line.
type PolicyWitness struct{ Name, VKey, URL string }

// PolicyGroup is a `group` line: satisfied when at least Threshold of its members are.
type PolicyGroup struct {
	Name      string
	Threshold int
	Members   []string
}

// quorumNone is the predefined name for "no witnesses are asked for".
const quorumNone = "none"

// Origins returns the logs of the policy.
func (p *Policy) Origins() []string {
	var origins []string
	for _, l := range p.Logs {
		name, _, _ := strings.Cut(l.VKey, "+")
		origins = append(origins, name)
	}
	return origins
}

// Lists says whether the policy speaks of this log.
func (p *Policy) Lists(origin string) bool { return slices.Contains(p.Origins(), origin) }

// Append appends the policy as a file, in an order that every reader accepts: what a line names stands above it.
func (p *Policy) Append(dst []byte) []byte {
	line := func(items ...string) {
		dst = append(append(dst, strings.Join(slices.DeleteFunc(items, func(s string) bool { return s == "" }), " ")...), '\n')
	}
	for _, l := range p.Logs {
		line("log", l.VKey, l.URL)
	}
	for _, w := range p.Witnesses {
		line("witness", w.Name, w.VKey, w.URL)
	}
	for _, g := range p.Groups {
		line(append([]string{"group", g.Name, strconv.Itoa(g.Threshold)}, g.Members...)...)
	}
	line("quorum", p.Quorum)
	return dst
}

// ParsePolicy reads a policy file. Where the specification and older readers differ (a `#` behind other items of a
// line), the file is refused rather than understood in one of two ways.
func ParsePolicy(file []byte) (Policy, error) {
	var p Policy
	if len(file) > MaxTrustPolicyBytes {
		return p, fmt.Errorf("policy is %d bytes long, at most %d are allowed", len(file), MaxTrustPolicyBytes)
	}
	for i, line := range bytes.Split(file, []byte("\n")) {
		if err := p.parseLine(string(line)); err != nil {
			return Policy{}, fmt.Errorf("policy line %d: %w", i+1, err)
		}
	}
	if err := p.Check(); err != nil {
		return Policy{}, err
	}
	return p, nil
}

func (p *Policy) parseLine(line string) error {
	for i := range len(line) {
		if c := line[i]; c < ' ' && c != '\t' || c == 0x7f {
			if c == '\r' {
				return errors.New("ends in CR LF; policy files have LF line ends")
			}
			return fmt.Errorf("control character %q", c)
		}
	}
	// Bytes, not runes: the specification splits at ASCII space and tab only.
	items := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
	if len(items) == 0 || items[0][0] == '#' {
		return nil
	}
	if strings.Contains(line, "#") {
		return errors.New("a comment must stand on a line of its own")
	}
	item := func(i int) string {
		if i < len(items) {
			return items[i]
		}
		return ""
	}
	form := map[string]struct {
		min, max int
		usage    string
	}{
		"log":     {2, 3, "log <vkey> [<url>]"},
		"witness": {3, 4, "witness <name> <vkey> [<url>]"},
		"group":   {4, 3 + 2*maxPolicyItems, "group <name> all|any|<k> <name>…"},
		"quorum":  {2, 2, "quorum <name>|none"},
	}
	f, ok := form[items[0]]
	if !ok {
		return fmt.Errorf("unknown keyword %q; expected log, witness, group or quorum", items[0])
	}
	if len(items) < f.min || len(items) > f.max {
		return fmt.Errorf("expected %q", f.usage)
	}
	switch items[0] {
	case "log":
		p.Logs = append(p.Logs, TrustedLog{VKey: item(1), URL: item(2)})
	case "witness":
		p.Witnesses = append(p.Witnesses, PolicyWitness{Name: item(1), VKey: item(2), URL: item(3)})
	case "group":
		members := items[3:]
		for _, m := range members {
			if !p.defined(m) {
				return fmt.Errorf("group %q has the member %q, which is not defined above it", item(1), m)
			}
		}
		g := PolicyGroup{Name: item(1), Members: members}
		switch item(2) {
		case "all":
			g.Threshold = len(members)
		case "any":
			g.Threshold = 1
		default:
			k, err := parseDecimal(item(2))
			if err != nil || k > uint64(len(members)) {
				return fmt.Errorf("group %q: the threshold %q is not all, any or a number from 1 to %d", g.Name, item(2), len(members))
			}
			g.Threshold = int(k)
		}
		p.Groups = append(p.Groups, g)
	case "quorum":
		if p.Quorum != "" {
			return errors.New("a second quorum line")
		}
		if item(1) != quorumNone && !p.defined(item(1)) {
			return fmt.Errorf("quorum %q is not defined above this line", item(1))
		}
		p.Quorum = item(1)
	}
	return nil
}

func (p *Policy) defined(name string) bool {
	return slices.ContainsFunc(p.Witnesses, func(w PolicyWitness) bool { return w.Name == name }) ||
		slices.ContainsFunc(p.Groups, func(g PolicyGroup) bool { return g.Name == name })
}

// Check says what is wrong with a policy: keys that cannot be read or stand twice, names that are not defined or
// defined twice, thresholds out of range, a missing quorum.
func (p *Policy) Check() error {
	if max(len(p.Logs), len(p.Witnesses), len(p.Groups)) > maxPolicyItems {
		return fmt.Errorf("policy has more than %d logs, witnesses or groups", maxPolicyItems)
	}
	keys := make(map[string]bool)
	once := func(what string, public ed25519.PublicKey) error {
		if id := what + string(public); keys[id] {
			return fmt.Errorf("policy lists the same %s key twice", what)
		} else {
			keys[id] = true
		}
		return nil
	}
	for _, l := range p.Logs {
		name, public, err := parseVKey(l.VKey, typeEd25519)
		if err != nil {
			return fmt.Errorf("policy: log: %w", err)
		}
		if err := checkOrigin(name); err != nil {
			return fmt.Errorf("policy: log: %w", err)
		}
		if err := once("log", public); err != nil {
			return err
		}
		if !validItem(l.URL, true) {
			return fmt.Errorf("policy: log %s: URL %q", name, l.URL)
		}
	}
	names := map[string]bool{}
	name := func(s string) error {
		if s == quorumNone || !validItem(s, false) {
			return fmt.Errorf("policy: the name %q is not allowed for a witness or group", s)
		}
		if names[s] {
			return fmt.Errorf("policy defines the name %q twice", s)
		}
		names[s] = true
		return nil
	}
	for _, w := range p.Witnesses {
		_, public, err := parseVKey(w.VKey, typeCosignature)
		if err != nil {
			return fmt.Errorf("policy: witness %q: %w", w.Name, err)
		}
		if err := once("witness", public); err != nil {
			return err
		}
		if err := name(w.Name); err != nil {
			return err
		}
		if !validItem(w.URL, true) {
			return fmt.Errorf("policy: witness %q: URL %q", w.Name, w.URL)
		}
	}
	// A name may be a member only once, so that a witness counts in one way only.
	member := map[string]bool{}
	for _, g := range p.Groups {
		if len(g.Members) == 0 || g.Threshold < 1 || g.Threshold > len(g.Members) {
			return fmt.Errorf("policy: group %q asks for %d of %d members", g.Name, g.Threshold, len(g.Members))
		}
		for _, m := range g.Members {
			if !names[m] {
				return fmt.Errorf("policy: group %q has the member %q, which is not defined", g.Name, m)
			}
			if member[m] {
				return fmt.Errorf("policy: %q is a member of groups more than once", m)
			}
			member[m] = true
		}
		if err := name(g.Name); err != nil {
			return err
		}
	}
	if p.Quorum == "" {
		return errors.New("policy has no quorum line (`quorum none` where no witnesses are asked for)")
	}
	if p.Quorum != quorumNone && !names[p.Quorum] {
		return fmt.Errorf("policy: quorum %q is not defined", p.Quorum)
	}
	return nil
}

func validItem(s string, optional bool) bool {
	if s == "" {
		return optional
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f || s[i] == '#' {
			return false
		}
	}
	return true
}

// Cosigned is a checkpoint whose log signature holds, with the cosignatures that hold too.
type Cosigned struct {
	Checkpoint
	Cosignatures []Cosignature // in the order of the note
	Unknown      []string      // names of keys that signed and that the policy does not list: they count for nothing
	Satisfied    bool          // the policy's quorum is met
}

// Open verifies a signed checkpoint of the log named origin: the log's key must have signed it, and every signature by
// a witness of the policy must hold. It does not ask for the quorum; Satisfied says whether it is met.
// ErrUnknownLog is wrapped where the policy does not list the log.
func (p *Policy) Open(signed []byte, origin string) (*Cosigned, error) {
	text, sigs, err := splitNote(signed)
	if err != nil {
		return nil, err
	}
	c, err := parseCheckpointText(text)
	if err != nil {
		return nil, err
	}
	if c.Origin != origin {
		return nil, fmt.Errorf("checkpoint is of log %q, expected %q", c.Origin, origin)
	}
	if !p.Lists(origin) {
		return nil, fmt.Errorf("checkpoint of %s: %w", origin, ErrUnknownLog)
	}
	if err := p.Check(); err != nil {
		return nil, err
	}
	opened := &Cosigned{Checkpoint: c}
	signedByLog := false
	cosigned := make(map[string]bool)
	for _, s := range sigs {
		known := false
		for _, l := range p.Logs {
			name, public, err := parseVKey(l.VKey, typeEd25519)
			if err != nil {
				return nil, fmt.Errorf("policy: log: %w", err)
			}
			if name != origin || name != s.name || keyID(name, typeEd25519, public) != s.keyID {
				continue
			}
			if len(s.value) != ed25519.SignatureSize || !ed25519.Verify(public, text, s.value) {
				return nil, fmt.Errorf("checkpoint of %s at size %d: the log's signature does not hold", origin, c.Size)
			}
			known, signedByLog = true, true
		}
		for _, w := range p.Witnesses {
			name, public, err := parseVKey(w.VKey, typeCosignature)
			if err != nil {
				return nil, fmt.Errorf("policy: witness %q: %w", w.Name, err)
			}
			if name != s.name || keyID(name, typeCosignature, public) != s.keyID {
				continue
			}
			at, ok := verifyCosignature(public, text, s.value)
			if !ok {
				return nil, fmt.Errorf("checkpoint of %s at size %d: the cosignature of witness %s does not hold", origin, c.Size, w.Name)
			}
			opened.Cosignatures = append(opened.Cosignatures, Cosignature{Witness: w.Name, Key: name, Time: at})
			known, cosigned[w.Name] = true, true
		}
		if !known {
			opened.Unknown = append(opened.Unknown, s.name)
		}
	}
	if !signedByLog {
		return nil, fmt.Errorf("checkpoint of %s at size %d is not signed by the log's key in the policy", origin, c.Size)
	}
	opened.Satisfied = p.satisfied(cosigned)
	return opened, nil
}

// satisfied evaluates the quorum. Groups stand below what they name, so one pass decides.
func (p *Policy) satisfied(cosigned map[string]bool) bool {
	if p.Quorum == quorumNone {
		return true
	}
	for _, g := range p.Groups {
		n := 0
		for _, m := range g.Members {
			if cosigned[m] {
				n++
			}
		}
		cosigned[g.Name] = g.Threshold > 0 && n >= g.Threshold
	}
	return cosigned[p.Quorum]
}

// Verify is Open with the quorum asked for; it returns the names of the witnesses that cosigned. Where the quorum is
// not met, the error wraps ErrQuorum.
func (p *Policy) Verify(signed []byte, origin string) (Checkpoint, []string, error) {
	opened, err := p.Open(signed, origin)
	if err != nil {
		return Checkpoint{}, nil, err
	}
	var witnesses []string
	for _, c := range opened.Cosignatures {
		witnesses = append(witnesses, c.Witness)
	}
	if !opened.Satisfied {
		return Checkpoint{}, witnesses, fmt.Errorf("checkpoint of %s at size %d: %w: %s", origin, opened.Size, ErrQuorum, p.explainQuorum(witnesses))
	}
	return opened.Checkpoint, witnesses, nil
}

func (p *Policy) explainQuorum(witnesses []string) string {
	have := "no known witness cosigned"
	if len(witnesses) > 0 {
		have = "only " + strings.Join(witnesses, ", ") + " cosigned"
	}
	return fmt.Sprintf("%s, the policy asks for %q", have, p.Quorum)
}
