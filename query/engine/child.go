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
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// session is what `clickhouse local` runs: listen, say so on descriptor 3, and stay. A numbers table that is read
// number by number, each taking three seconds, has no end.
const session = "SYSTEM START LISTEN TCP; " +
	"SELECT 'listening' INTO OUTFILE '/dev/fd/3' APPEND FORMAT TSV; " +
	"SELECT sleepEachRow(3) FROM system.numbers FORMAT Null SETTINGS function_sleep_max_microseconds_per_block = 0, max_block_size = 1"

// A child is one process of the engine, from its start to its end.
type child struct {
	cmd    *exec.Cmd
	addr   string        // host:port where it listens
	stdin  *os.File      // nothing is written; its end tells the child that this process is gone
	stderr *tail         // what it said last
	ended  chan struct{} // closed when the process has been waited for
	err    error         // of the waiting; to be read after ended
}

// startChild starts a process and returns when it listens. It is this child that listens, and nobody who was quicker to
// take the port: that is why the child says so itself, before a password is sent to the port.
func startChild(ctx context.Context, program Program, p places) (*child, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	args := []string{
		"--config-file=" + p.conf(), "--path=" + p.data(), "--log-level=warning",
		"--listen_host=127.0.0.1", "--tcp_port=" + port, "--multiquery", "--query", session,
	}
	if program.Library != "" {
		args = append([]string{"--library", program.Library, "--"}, args...)
	} else {
		args = append([]string{"local"}, args...)
	}
	stdin, parent, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	says, said, err := os.Pipe()
	if err != nil {
		stdin.Close()
		parent.Close()
		return nil, err
	}
	defer says.Close()
	c := &child{addr: net.JoinHostPort("127.0.0.1", port), stdin: parent, stderr: &tail{limit: 4096}, ended: make(chan struct{})}
	c.cmd = exec.Command(program.Path, args...)
	c.cmd.Dir = p.run()
	c.cmd.Env = environment(p)
	c.cmd.Stdin, c.cmd.Stderr, c.cmd.ExtraFiles = stdin, c.stderr, []*os.File{said}
	c.cmd.WaitDelay = time.Second
	// Its own group: an interrupt typed on the terminal is for this process, which may still want to ask the engine.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	endWithParent(c.cmd.SysProcAttr)

	started := make(chan error)
	go func() { // ends with the process
		// What the kernel calls the parent is the thread that started the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		stdin.Close()
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
	line := make([]byte, 64)
	n, err := io.ReadAtLeast(says, line, len("listening"))
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w while the engine was starting", context.Cause(ctx))
	}
	if err == nil && bytes.HasPrefix(line[:n], []byte("listening")) {
		return nil
	}
	// The pipe has ended, so the process has or is about to.
	select {
	case <-c.ended:
	case <-ctx.Done():
	case <-time.After(5 * time.Second):
	}
	return c.why()
}

// why says why the child ended.
func (c *child) why() error {
	reason := "it has not said why"
	if text := c.stderr.String(); text != "" {
		reason = text
	}
	select {
	case <-c.ended:
		if c.err != nil {
			return fmt.Errorf("the engine ended (%w): %s", c.err, reason)
		}
		return fmt.Errorf("the engine ended: %s", reason)
	default:
		return errors.New("the engine does not listen: " + reason)
	}
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
	env := []string{"HOME=" + p.run(), "TZ=UTC", "LC_ALL=C.UTF-8", "TMPDIR=" + p.run()}
	for _, name := range []string{"PATH", "LD_LIBRARY_PATH"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// freePort finds a port of the loopback that is free just now. If somebody takes it before the child does, the child
// ends, and the next one gets another.
func freePort() (string, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
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

// String is the text on one line, without what the engine says at every start.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var lines []string
	for line := range strings.Lines(string(bytes.ToValidUTF8(t.text, []byte("?")))) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "Logging ") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}
