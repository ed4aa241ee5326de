package api

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// negotiate chooses the offer that Accept likes best, the first one among equals (RFC 9110, section 12.5.1). Without
// Accept that is the first offer.
func negotiate(h http.Header, offers []string) (chosen string, ok bool) {
	lines := h.Values("Accept")
	if len(lines) == 0 {
		return offers[0], true
	}
	ranges := acceptRanges(strings.Join(lines, ","))
	best := 0.0
	for _, offer := range offers {
		if q := quality(ranges, offer); q > best {
			chosen, best = offer, q
		}
	}
	return chosen, best > 0
}

type acceptRange struct {
	media string
	q     float64
}

func acceptRanges(text string) (list []acceptRange) {
	for element := range strings.SplitSeq(text, ",") {
		media, params, err := mime.ParseMediaType(element)
		if err != nil {
			continue
		}
		q := 1.0
		if text, there := params["q"]; there {
			if q, err = strconv.ParseFloat(text, 64); err != nil || !(q >= 0 && q <= 1) {
				continue
			}
		}
		list = append(list, acceptRange{media, q})
	}
	return list
}

// quality is how much a media type is liked: the most specific range decides.
func quality(ranges []acceptRange, offer string) float64 {
	family, _, _ := strings.Cut(offer, "/")
	for _, media := range []string{offer, family + "/*", "*/*"} {
		for _, r := range ranges {
			if r.media == media {
				return r.q
			}
		}
	}
	return 0
}
