package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"github.com/alecthomas/kong"
)

// A server holds its data directory alone, and listens on a socket in it. Commands that find one there hand themselves
// over: the server runs them as if they had been typed in its process, reads what they read and prints what they print.
// Who can open the socket can read the keys beside it: nothing more is asked.

// commandPath is where a server takes commands, on its socket only.
const commandPath = "/command"

// order is a command line on its way to a server: the first line of the request's body, as JSON. What comes after it is
// the command's standard input.
type order struct {
	Version  string   `json:"version"` // of the program that sends it
	Args     []string `json:"args"`
	Dir      string   `json:"dir"`   // to which its paths are relative
	Input    bool     `json:"input"` // it reads standard input
	Terminal bool     `json:"terminal"`
	Width    int      `json:"width"`
}

// The answer is a sequence of frames: a byte that says what it is, four that count (big endian), and so many bytes.
const (
	frameOut  = 'o' // for standard output
	frameErr  = 'e' // for standard error
	frameExit = 'x' // the exit code, one byte; nothing follows

	frameHead = 5
	frameMost = 64 << 10
)

// socketPath is where the server of a data directory listens, if it runs. A path that is too long for a socket is stood
// for by a link in the temporary folder.
func socketPath(data string) string { return filepath.Join(data, "run", "domicile.sock") }

// dialServer connects to the server of a data directory.
func dialServer(ctx context.Context, data string) (net.Conn, error) {
	path, remove, err := shortPath(socketPath(data))
	if err != nil {
		return nil, err
	}
	defer remove()
	var d net.Dialer
	return d.DialContext(ctx, "unix", path)
}

// socketLimit is how long the path of a socket can be on every system (sockaddr_un).
const socketLimit = 100

// shortPath returns a path of a socket that the system takes: the same, or one through a link to its folder.
func shortPath(path string) (short string, remove func(), err error) {
	if len(path) <= socketLimit {
		return path, func() {}, nil
	}
	folder, err := os.MkdirTemp("", "domicile-")
	if err != nil {
		return "", nil, err
	}
	remove = func() { os.RemoveAll(folder) }
	link := filepath.Join(folder, "run")
	if err := os.Symlink(filepath.Dir(path), link); err != nil {
		remove()
		return "", nil, err
	}
	return filepath.Join(link, filepath.Base(path)), remove, nil
}

// socketClient speaks HTTP with the server of a data directory.
func socketClient(data string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return dialServer(ctx, data) },
		DisableCompression: true,
	}}
}

// servedElsewhere reports whether a server listens in a data directory.
func servedElsewhere(ctx context.Context, data string) bool {
	conn, err := dialServer(ctx, data)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// forward hands a command to the server that holds its data directory, if there is one and the command is of those that
// a server can run.
func forward(g *global, selected *kong.Context, args []string) (code int, done bool) {
	node := selected.Selected()
	if node == nil || !node.Target.CanAddr() {
		return 0, false
	}
	command := node.Target.Addr().Interface()
	target, ok := command.(interface{ dataPath() string })
	if _, own := command.(interface{ runsHere() }); !ok || own || !servedElsewhere(g.ctx, target.dataPath()) {
		return 0, false
	}
	code, err := sendOrder(g, socketClient(target.dataPath()), args)
	if err != nil {
		if g.ctx.Err() != nil {
			err = errors.New("stopped before it was done; what was answered is kept, run it again for the rest")
		}
		fmt.Fprintf(g.err, "domicile: %v\n", err)
		return exitFailed, true
	}
	return code, true
}

func sendOrder(g *global, client *http.Client, args []string) (code int, err error) {
	o := order{Version: version, Args: args, Dir: g.dir, Input: readsInput(args), Terminal: g.terminal, Width: g.width}
	head, err := json.Marshal(o)
	if err != nil {
		return 0, err
	}
	body, input := io.Pipe()
	defer body.Close()
	go func() {
		_, err := input.Write(append(head, '\n'))
		if err == nil && o.Input {
			_, err = io.Copy(input, g.in)
		}
		input.CloseWithError(err)
	}()
	request, err := http.NewRequestWithContext(g.ctx, http.MethodPost, "http://domicile"+commandPath, body)
	if err != nil {
		return 0, err
	}
	answer, err := client.Do(request)
	if err != nil {
		return 0, fmt.Errorf("asking the server that holds the data directory: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
		return 0, fmt.Errorf("the server that holds the data directory took no command: %s %s", answer.Status, said)
	}
	return readFrames(answer.Body, g.out, g.err)
}

// readsInput reports whether a command line names standard input as a source.
func readsInput(args []string) bool {
	for _, arg := range args {
		if arg == "-" {
			return true
		}
	}
	return false
}

// readFrames prints what a command prints, until it ends.
func readFrames(src io.Reader, out, err io.Writer) (code int, failed error) {
	r := bufio.NewReader(src)
	var head [frameHead]byte
	for {
		if _, e := io.ReadFull(r, head[:]); e != nil {
			return 0, fmt.Errorf("the server ended before the command did; what was answered is kept: %w", e)
		}
		n := int64(binary.BigEndian.Uint32(head[1:]))
		if n > frameMost {
			return 0, errors.New("the server's answer is damaged")
		}
		to := out
		switch head[0] {
		case frameOut:
		case frameErr:
			to = err
		case frameExit:
			code, e := r.ReadByte()
			return int(code), e
		default:
			return 0, errors.New("the server's answer is damaged")
		}
		if _, e := io.CopyN(to, r, n); e != nil {
			return 0, e
		}
	}
}

// commands runs the commands that come through a server's socket.
type commands struct{ d *dataDir }

// ServeHTTP runs one command and sends what it prints while it runs. It ends with its sender.
func (c commands) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.Error(w, "commands are posted", http.StatusMethodNotAllowed)
		return
	}
	in := bufio.NewReaderSize(r.Body, 1<<20) // the command line in one piece
	line, err := in.ReadSlice('\n')
	var o order
	if err != nil || json.Unmarshal(line, &o) != nil || !filepath.IsAbs(o.Dir) {
		http.Error(w, "this is no command of domicile's", http.StatusBadRequest)
		return
	}
	if o.Version != version {
		http.Error(w, fmt.Sprintf("this program is %s, the server is %s: use the same", o.Version, version), http.StatusConflict)
		return
	}
	if !o.Input {
		io.Copy(io.Discard, in) // to its end, which is near: only then the server notices when the sender goes
	}
	w.Header().Set("Connection", "close") // with what is left of a command's input
	control := http.NewResponseController(w)
	control.EnableFullDuplex()
	w.WriteHeader(http.StatusOK)
	control.Flush()
	frames := &frameWriter{w: w, flush: control.Flush}
	g := &global{
		ctx: r.Context(), in: in, out: frames.to(frameOut), err: frames.to(frameErr), terminal: o.Terminal, width: o.Width, dir: o.Dir,
		served: c.d,
	}
	frames.write(frameExit, []byte{byte(g.runOrder(o.Args))})
}

// runOrder parses and runs a command. Its sender has parsed it too: what is wrong with it, help and completions never
// come here.
func (g *global) runOrder(args []string) int {
	parser := newParser(g, kong.Exit(func(int) {}))
	selected, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(g.err, "domicile: %v\n", err)
		return exitUsage
	}
	return g.execute(selected)
}

// frameWriter sends what two writers are given over one connection.
type frameWriter struct {
	mu    sync.Mutex
	w     io.Writer
	flush func() error
}

func (f *frameWriter) to(kind byte) io.Writer { return frameStream{f, kind} }

func (f *frameWriter) write(kind byte, data []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(data)))
	if _, err := f.w.Write(append(head, data...)); err != nil {
		return err
	}
	return f.flush()
}

type frameStream struct {
	*frameWriter
	kind byte
}

// Write implements io.Writer.
func (s frameStream) Write(data []byte) (n int, err error) {
	for len(data) > 0 {
		part := data[:min(len(data), frameMost)]
		if err := s.write(s.kind, part); err != nil {
			return n, err
		}
		n, data = n+len(part), data[len(part):]
	}
	return n, nil
}
