package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
)

// session is what `clickhouse local` runs before it shows its prompt: listen, and say so on descriptor 3. An error ends
// it, so that nothing is said when it does not listen.
const session = "SYSTEM START LISTEN TCP; SELECT 'listening' INTO OUTFILE '/dev/fd/3' APPEND FORMAT TSV"

// interactive has the session stay at its prompt, on a terminal on which nobody types. That is for two reasons. Without
// a terminal any client that resets its connection or has a wrong password ends the whole process (ClickHouse issue
// 115666, in 26.5 to 26.8). And when this process dies the terminal hangs up, which ends the session on every system.
var interactive = []string{"--interactive", "--progress=off", "--progress-table=off", "--disable_suggestion"}

// A child is one process of the engine, from its start to its end.
type child struct {
	cmd    *exec.Cmd
	addr   string        // host:port where it listens
	stdout *prompt       // tells when the session is through
	stderr *tail         // what it said last
	ended  chan struct{} // closed when the process has been waited for
	err    error         // of the waiting; to be read after ended
}

// startChild starts a process and returns when it listens. It is this child that listens, and nobody who was quicker to
// take the port: that is why the child says so itself, before a password is sent to the port.
func startChild(ctx context.Context, program Program, p places, port string) (*child, error) {
	args := append([]string{"--config-file=" + p.conf(), "--path=" + p.data(), "--log-level=warning",
		"--listen_host=127.0.0.1", "--tcp_port=" + port, "--multiquery", "--query", session}, interactive...)
	if program.Library != "" {
		args = append([]string{"--library", program.Library, "--"}, args...)
	} else {
		args = append([]string{"local"}, args...)
	}
	parent, terminal, err := pty.Open()
	if err != nil {
		return nil, fmt.Errorf("a terminal for the engine: %w", err)
	}
	says, said, err := os.Pipe()
	if err != nil {
		terminal.Close()
		parent.Close()
		return nil, fmt.Errorf("start the engine: %w", err)
	}
	defer says.Close()
	c := &child{addr: net.JoinHostPort("127.0.0.1", port), stdout: &prompt{shown: make(chan struct{})}, stderr: &tail{limit: 4096}, ended: make(chan struct{})}
	c.cmd = exec.Command(program.Path, args...)
	c.cmd.Dir = p.run()
	c.cmd.Env = environment(p)
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr, c.cmd.ExtraFiles = terminal, c.stdout, c.stderr, []*os.File{said}
	c.cmd.WaitDelay = time.Second
	// Its own session: an interrupt typed on our terminal is for this process, which may still want to ask the engine.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	endWithParent(c.cmd.SysProcAttr)

	// Nothing is ever written to parent, the other end of the terminal.
	started := make(chan error)
	go func() { // ends with the process
		// What the kernel calls the parent is the thread that started the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		terminal.Close()
		said.Close()
		started <- err
		if err == nil {
			c.err = c.cmd.Wait()
			parent.Close()
			close(c.ended)
		}
	}()
	if err := <-started; err != nil {
		parent.Close()
		return nil, fmt.Errorf("start %s: %w", program.Path, err)
	}
	if err := c.listens(ctx, says); err != nil {
		c.stop(0)
		return nil, err
	}
	return c, nil
}

// listens waits until the child says that it listens.
func (c *child) listens(ctx context.Context, says *os.File) error {
	stop := context.AfterFunc(ctx, func() { _ = says.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	through := make(chan struct{})
	defer close(through)
	go func() { // ends with this call
		select {
		case <-through:
		case <-c.stdout.shown: // what was said until then is in the pipe
			_ = says.SetReadDeadline(time.Now().Add(time.Second))
		}
	}()
	line := make([]byte, 64)
	n, err := io.ReadAtLeast(says, line, len("listening"))
	if err == nil && bytes.HasPrefix(line[:n], []byte("listening")) {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w while the engine was starting", context.Cause(ctx))
	}
	select { // either the process is about to end, or it is at its prompt and never will
	case <-c.ended:
	case <-c.stdout.shown:
	case <-ctx.Done():
	}
	reason := c.stderr.String()
	if reason == "" {
		reason = "it has not said why"
	}
	select {
	case <-c.ended:
		return fmt.Errorf("%w: %s", c.end(), reason)
	default:
		return fmt.Errorf("the engine does not listen: %s", reason)
	}
}

// end says how the child ended, without what it said: once it has listened, that may be about data.
func (c *child) end() error {
	if c.err != nil {
		return fmt.Errorf("the engine ended (%w)", c.err)
	}
	return errors.New("the engine ended")
}

// stop ends the process: asks it to, and kills it after the grace. It returns when the process is gone.
func (c *child) stop(grace time.Duration) {
	if grace > 0 {
		_ = c.cmd.Process.Signal(syscall.SIGTERM) // an error: it is gone
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-c.ended:
			return
		case <-timer.C:
		}
	}
	_ = c.cmd.Process.Kill()
	<-c.ended
}

// environment of the child. It gets nothing of ours: ClickHouse would take credentials of cloud providers, of itself,
// and settings from it, and from files in the home folder.
func environment(p places) []string {
	env := []string{"HOME=" + p.run(), "TZ=UTC", "LC_ALL=C.UTF-8", "TERM=dumb", "TMPDIR=" + p.run()}
	for _, name := range []string{"PATH", "LD_LIBRARY_PATH"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// freePort finds a port of the loopback that is free just now. If somebody takes it before the child does, the child
// ends, and the next one gets another.
func freePort() (port string, err error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	_, port, err = net.SplitHostPort(l.Addr().String())
	return port, err
}

// A prompt sees the prompt of a session in its output.
type prompt struct {
	shown chan struct{} // closed when it is there
	last  []byte
	seen  bool
}

func (p *prompt) Write(text []byte) (int, error) {
	const sign = ":) "
	if !p.seen {
		p.last = append(p.last, text...)
		if p.seen = bytes.Contains(p.last, []byte(sign)); p.seen {
			close(p.shown)
		}
		p.last = p.last[max(0, len(p.last)-len(sign)):]
	}
	return len(text), nil
}

// A tail keeps the last bytes that were written to it.
type tail struct {
	limit int

	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - t.limit; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

// noise is what the engine says at every start, and its stack traces.
var noise = regexp.MustCompile(`(?m)^(Logging \w+ to .*|\d+\. .*|\(version .*\)|\s*)$|, Stack trace \(when copying this message, always include the lines below\):`)

// String is the text on one line, without noise.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := noise.ReplaceAll(bytes.ToValidUTF8(t.text, []byte("?")), nil)
	return string(bytes.Join(bytes.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), []byte("; ")))
}
