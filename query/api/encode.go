package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"domicile.dev/domicile/internal/rawjson"
)

// appendJSON appends values of this package. Bytes that others wrote and that are hashed somewhere (records, bundles,
// entries) never go through it: it would spell them anew.
func appendJSON(dst []byte, v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("api: %T cannot be encoded: %v", v, err)) // a type of this package: a test would have seen it
	}
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte{'\n'})...)
}

// An object writes one JSON object to a client, member by member, so that an answer of many megabytes is not held
// twice. The first error is kept; what follows it is dropped.
type object struct {
	w     *bufio.Writer
	first bool // member or element
	buf   []byte
}

// begin writes status 200 and the beginning of an object.
func begin(c echo.Context, media string) *object {
	c.Response().Header().Set(echo.HeaderContentType, media)
	c.Response().WriteHeader(http.StatusOK)
	return &object{w: bufio.NewWriterSize(c.Response(), 32<<10)}
}

func (o *object) raw(text []byte)     { _, _ = o.w.Write(text) } // bufio keeps the error for Flush
func (o *object) text(text string)    { _, _ = o.w.WriteString(text) }
func (o *object) open(bracket string) { o.text(bracket); o.first = true }

func (o *object) shut(bracket string) { o.text(bracket); o.first = false }

func (o *object) comma() {
	if !o.first {
		o.text(",")
	}
	o.first = false
}

// name begins a member; what is written next is its value. Names are written here, so they need no escaping.
func (o *object) name(name string) {
	o.comma()
	o.text(`"` + name + `":`)
}

func (o *object) value(name string, v any) {
	o.name(name)
	o.buf = appendJSON(o.buf[:0], v)
	o.raw(o.buf)
}

func (o *object) bytes(name string, json []byte) {
	o.name(name)
	o.raw(json)
}

func (o *object) string(name string, text []byte) {
	o.name(name)
	o.buf = rawjson.AppendString(o.buf[:0], text)
	o.raw(o.buf)
}

func (o *object) number(name string, n int64) {
	o.name(name)
	o.raw(strconv.AppendInt(o.buf[:0], n, 10))
}

func (o *object) count(name string, n uint64) {
	o.name(name)
	o.raw(strconv.AppendUint(o.buf[:0], n, 10))
}

// end ends the answer with a newline, which curl's users like.
func (o *object) end() error {
	o.text("\n")
	return o.w.Flush()
}

// answerJSON answers with a value of this package.
func answerJSON(c echo.Context, status int, v any) error {
	body := append(appendJSON(nil, v), '\n')
	c.Response().Header().Set(echo.HeaderContentType, typeJSON)
	c.Response().WriteHeader(status)
	_, err := c.Response().Write(body)
	return err
}
