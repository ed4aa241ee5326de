package index

import (
	"context"
	"errors"

	"domicile.dev/domicile/ledger/log"
)

// Rebuild fills new tables from the payloads of the logs and then exchanges them for the present ones.
func (x *Index) Rebuild(ctx context.Context, logs []*log.Reader, progress func(done, total uint64)) error {
	return errors.New("index: rebuild is not there yet")
}
