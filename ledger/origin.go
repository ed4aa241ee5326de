package ledger

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// An Origin names a log: `<ledger>/<jurisdiction>/events/<shard>` or `<ledger>/<jurisdiction>/control`. It is the first
// line of the log's checkpoints and the name of its key.
type Origin struct {
	Ledger       string
	Jurisdiction string
	Control      bool
	Shard        int // of an events log
}

// ControlOrigin is the origin of a cell's control log.
func ControlOrigin(ledger, jurisdiction string) string {
	return Origin{Ledger: ledger, Jurisdiction: jurisdiction, Control: true}.String()
}

// EventsOrigin is the origin of an events log.
func EventsOrigin(ledger, jurisdiction string, shard int) string {
	return Origin{Ledger: ledger, Jurisdiction: jurisdiction, Shard: shard}.String()
}

func (o Origin) String() string {
	if o.Control {
		return o.Ledger + "/" + o.Jurisdiction + "/control"
	}
	return o.Ledger + "/" + o.Jurisdiction + "/events/" + strconv.Itoa(o.Shard)
}

// originWord is what ledger names and jurisdiction ids are made of.
var originWord = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// ValidOriginWord reports whether s can be a ledger's name or a jurisdiction's id.
func ValidOriginWord(s string) bool { return originWord.MatchString(s) }

// ParseOrigin reads an origin.
func ParseOrigin(s string) (Origin, error) {
	parts := strings.Split(s, "/")
	if len(parts) < 3 || !originWord.MatchString(parts[0]) || !originWord.MatchString(parts[1]) {
		return Origin{}, fmt.Errorf("origin %q is not <ledger>/<jurisdiction>/control or …/events/<shard>", clip(s))
	}
	o := Origin{Ledger: parts[0], Jurisdiction: parts[1]}
	switch {
	case len(parts) == 3 && parts[2] == "control":
		o.Control = true
		return o, nil
	case len(parts) == 4 && parts[2] == "events":
		var err error
		if o.Shard, err = strconv.Atoi(parts[3]); err == nil && o.Shard >= 0 && o.String() == s {
			return o, nil
		}
	}
	return Origin{}, fmt.Errorf("origin %q is not <ledger>/<jurisdiction>/control or …/events/<shard>", clip(s))
}
