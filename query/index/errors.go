package index

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
)

// Errors that a caller tells apart.
var (
	// ErrUnavailable is wrapped where ClickHouse cannot be reached, or cannot work now: asking again later may help.
	ErrUnavailable = errors.New("ClickHouse cannot be reached")
	// ErrQuestion is wrapped where a question cannot be asked as it is.
	ErrQuestion = errors.New("cannot be asked")
	// ErrTooMuch is wrapped where answering would read or take more than is allowed: a narrower question may do.
	ErrTooMuch = errors.New("the answer takes too much")
	// ErrDamaged is wrapped where rows contradict each other: somebody changed them, domicile index audit names which.
	ErrDamaged = errors.New("the rows of the index contradict each other")
	// ErrSchema is wrapped where tables are not as this program needs them.
	ErrSchema = errors.New("the tables are not as they should be")
)

// Codes of ClickHouse's exceptions (src/Common/ErrorCodes.cpp).
var (
	tooMuchCodes = []int32{
		158, // TOO_MANY_ROWS
		159, // TIMEOUT_EXCEEDED
		160, // TOO_SLOW
		241, // MEMORY_LIMIT_EXCEEDED
		307, // TOO_MANY_BYTES
		396, // TOO_MANY_ROWS_OR_BYTES
	}
	schemaCodes = []int32{
		10, // NOT_FOUND_COLUMN_IN_BLOCK
		16, // NO_SUCH_COLUMN_IN_TABLE
		47, // UNKNOWN_IDENTIFIER
		53, // TYPE_MISMATCH
		60, // UNKNOWN_TABLE
		81, // UNKNOWN_DATABASE
	}
	// What passes: too many queries or parts, no space or memory now, a server that is going down or starting.
	passingCodes = []int32{
		159, 202, 209, 210, 236, 241, 242, 243, 252, 394, 439, 999,
	}
)

// explain wraps an error of the driver with the sentinel that says what can be done about it.
func explain(what string, err error) error {
	var exception *clickhouse.Exception
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrUnavailable), errors.Is(err, ErrQuestion), errors.Is(err, ErrTooMuch), errors.Is(err, ErrDamaged), errors.Is(err, ErrSchema):
		return fmt.Errorf("%s: %w", what, err)
	case errors.As(err, &exception):
		switch {
		case has(tooMuchCodes, exception.Code):
			return fmt.Errorf("%s: %w: %s", what, ErrTooMuch, firstLine(exception.Message))
		case has(schemaCodes, exception.Code):
			return fmt.Errorf("%s: %w, run domicile index rebuild: %s", what, ErrSchema, firstLine(exception.Message))
		case has(passingCodes, exception.Code):
			return fmt.Errorf("%s: %w: %s", what, ErrUnavailable, firstLine(exception.Message))
		}
		return fmt.Errorf("%s: ClickHouse says (%d): %s", what, exception.Code, firstLine(exception.Message))
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", what, err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w: %w", what, ErrTooMuch, err)
	case mistaken(err):
		return fmt.Errorf("%s: %w", what, err)
	}
	// What is neither an answer of the server nor a mistake of ours is the network's, or the engine's that is not there.
	return fmt.Errorf("%s: %w: %w", what, ErrUnavailable, err)
}

// mistaken reports whether the driver could not use what it was given, or not read what the server sent.
func mistaken(err error) bool {
	var (
		ofBlock  *proto.BlockError
		ofValue  *column.ColumnConverterError
		ofColumn *column.Error
		ofUse    *clickhouse.OpError
	)
	return errors.As(err, &ofBlock) || errors.As(err, &ofValue) || errors.As(err, &ofColumn) || errors.As(err, &ofUse)
}

func has(codes []int32, code int32) bool {
	for _, c := range codes {
		if c == code {
			return true
		}
	}
	return false
}

// firstLine keeps of a server's message what a reader needs: no stack, no end of a long query.
func firstLine(message string) string {
	message, _, _ = strings.Cut(message, "\n")
	if at := strings.Index(message, ": In scope "); at > 0 {
		message = message[:at]
	}
	return clip(message)
}

// clip shortens a text from outside for an error.
func clip(s string) string {
	const most = 300
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
