package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"domicile.dev/domicile/ledger/tile"
	"domicile.dev/domicile/query"
)

func TestTiles(t *testing.T) {
	c := newClient(t, &fakeCells{})
	for _, test := range []struct{ target, object, media, cache string }{
		{"/logs/eu/events/0/checkpoint", "local/eu/events/0/checkpoint", "text/plain; charset=utf-8", "no-cache"},
		{"/logs/us/control/checkpoint", "local/us/control/checkpoint", "text/plain; charset=utf-8", "no-cache"},
		{"/logs/eu/events/3/tile/0/000", "local/eu/events/3/tile/0/000", typeBinary, "public, max-age=31536000, immutable"},
		{"/logs/eu/control/tile/1/x001/x234/567", "local/eu/control/tile/1/x001/x234/567", typeBinary, "public, max-age=31536000, immutable"},
		{"/logs/eu/control/tile/0/000.p/255", "local/eu/control/tile/0/000.p/255", typeBinary, "public, max-age=3600"},
		{"/logs/eu/events/0/tile/entries/x001/234", "local/eu/events/0/tile/entries/x001/234", typeBinary, "private, max-age=31536000, immutable"},
		{"/logs/eu/events/0/tile/entries/000.p/1", "local/eu/events/0/tile/entries/000.p/1", typeBinary, "private, max-age=3600"},
	} {
		a := c.get(test.target).want(t, 200, "")
		if string(a.body) != "bytes of "+test.object || a.Header.Get("Content-Type") != test.media || a.Header.Get("Cache-Control") != test.cache {
			t.Errorf("%s: %q %v", test.target, a.body, a.Header)
		}
	}
}

func TestTilesThatAreNotThere(t *testing.T) {
	c := newClient(t, &fakeCells{object: func(context.Context, string, string) ([]byte, error) {
		return nil, fmt.Errorf("/secret/open: %w", query.ErrNotFound)
	}})
	a := c.get("/logs/eu/control/tile/0/000").want(t, 404, notFound)
	noSecrets(t, a)
	if a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("that a tile is not there yet may be cached: %v", a.Header)
	}
}

// strayPaths are paths on which only tiles and checkpoints may be found.
var strayPaths = []string{
	"/logs/eu/events/0/commit/00000000000000000000", "/logs/eu/events/0/payload/x", "/logs/eu/events/0/checkpoints/00000000000000000001",
	"/logs/eu/events/0/attachment/x", "/logs/eu/events/0", "/logs/eu/events/0/", "/logs/eu/", "/logs/", "/logs", "/logs/eu/control", "/logs/eu/control/",
	"/logs/eu/events/0/tile/", "/logs/eu/events/0/tile", "/logs/eu/events/0/tile/0", "/logs/eu/events/0/tile/0/0", "/logs/eu/events/0/tile/00/000",
	"/logs/eu/events/0/tile/0/x000/001", "/logs/eu/events/0/tile/64/000", "/logs/eu/events/0/tile/0/000.p/0", "/logs/eu/events/0/tile/0/000.p/256",
	"/logs/eu/events/0/tile/0/000.p/01", "/logs/eu/events/0/tile/0/000/", "/logs/eu/events/0/tile//0/000", "/logs/eu/events/0//tile/0/000",
	"//logs/eu/events/0/tile/0/000", "/logs//eu/events/0/tile/0/000", "/logs/eu/events/0/tile/0/000/../001", "/logs/eu/events/0/tile/../checkpoint",
	"/logs/eu/events/0/tile/../../../../../etc/passwd", "/logs/../logs/eu/events/0/checkpoint", "/logs/./eu/events/0/checkpoint",
	"/logs/%2e%2e/eu/events/0/checkpoint", "/logs/eu/events/0/tile/%2e%2e/%2e%2e/commit/00000000000000000000", "/logs/eu/events/0/tile/0%2f000",
	"/logs/eu/events/0/tile/0/%30%30%30", "/logs/eu/events/0/tile/..%2f..%2fkeys", "/logs/eu%2fevents%2f0/tile/0/000", "/logs/eu/events/%30/checkpoint",
	"/logs/eu/events/0%2fcheckpoint", "/logs/eu/events/00/checkpoint", "/logs/eu/events/-1/checkpoint", "/logs/eu/events/0x0/checkpoint",
	"/logs/eu/events/99999999999999999999/checkpoint", "/logs/EU/events/0/checkpoint", "/logs/xx/events/0/checkpoint", "/logs/%00/control/checkpoint",
	"/logs/eu%00/control/checkpoint", "/logs/eu/events/0/tile/0/000%00", "/logs/eu/events/0/tile/0/000%0a", "/logs/eu/events/0/checkpoint/",
	"/logs/eu/events/0/checkpoint%00", "/logs/eu/events/0/tile/%ff/000", "/logs/eu/events/0/tile/entries/..;/000", `/logs/eu/events/0/tile/..\..\x`,
	"/logs/eu/events/0/tile/0/x" + strings.Repeat("001/x", 10) + "000", "/LOGS/eu/control/checkpoint", "/logs/eu/control/Checkpoint",
	"/v1/../logs/eu/control/checkpoint", "/v1/logs/eu/events/..%2f..%2fcontrol/consistency?from=1",
}

// TestStrayPaths sends paths as they are, over a connection: a client's library would tidy them up.
func TestStrayPaths(t *testing.T) {
	cells := &fakeCells{object: func(_ context.Context, origin, path string) ([]byte, error) {
		if _, err := tile.ParsePath(path); err != nil && path != "checkpoint" {
			t.Errorf("asked for %s", path)
		}
		return []byte("found"), nil
	}}
	address := listen(t, newClient(t, cells).handler)
	for _, path := range strayPaths {
		answer := exchange(t, address, "GET "+path+" HTTP/1.1\r\nHost: "+address+"\r\nConnection: close\r\n\r\n")
		if answer.StatusCode != 404 || answer.Header.Get("Content-Type") != typeProblem {
			t.Errorf("%s: %d %s", path, answer.StatusCode, answer.Header.Get("Content-Type"))
		}
	}
	// The control: what is a path is found.
	if a := exchange(t, address, "GET /logs/eu/control/tile/0/000 HTTP/1.1\r\nHost: "+address+"\r\nConnection: close\r\n\r\n"); a.StatusCode != 200 {
		t.Errorf("status %d", a.StatusCode)
	}
}

// listen serves on loopback until the test ends.
func listen(t *testing.T, handler http.Handler, change ...func(*http.Server)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, handler, change...)
	return l.Addr().String()
}

func serve(t *testing.T, l net.Listener, handler http.Handler, change ...func(*http.Server)) {
	t.Helper()
	server := Server(handler)
	for _, c := range change {
		c(server)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
}

// exchange sends bytes and reads one answer.
func exchange(t *testing.T, address, request string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body = io.NopCloser(strings.NewReader(string(body)))
	return answer
}

func TestHosts(t *testing.T) {
	c := newClient(t, &fakeCells{}, func(cfg *Config) { cfg.Hosts = []string{"ledger.example:8443"} })
	address := listen(t, c.handler)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{
		address: 200, "localhost:" + port: 200, "LOCALHOST:" + port: 200, "127.9.9.9:" + port: 200, "[::1]:" + port: 200, "ledger.example:8443": 200,
		"evil.example:" + port: 421, "evil.example": 421, "localhost": 421, "127.0.0.1:1": 421, "127.0.0.1.evil.example:" + port: 421,
		"ledger.example": 421, "0.0.0.0:" + port: 421, "10.0.0.1:" + port: 421, "[::ffff:10.0.0.1]:" + port: 421, "localhost.:" + port: 421,
	} {
		if a := exchange(t, address, "GET /v1/events HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n"); a.StatusCode != want {
			t.Errorf("%s: %d, want %d", host, a.StatusCode, want)
		}
	}
	if a := exchange(t, address, "GET /v1/events HTTP/1.0\r\n\r\n"); a.StatusCode != 421 {
		t.Errorf("no host: %d", a.StatusCode)
	}
	if a := exchange(t, address, "GET http://evil.example/v1/events HTTP/1.1\r\nHost: "+address+"\r\nConnection: close\r\n\r\n"); a.StatusCode != 421 {
		t.Errorf("another host in the target: %d", a.StatusCode)
	}
}

func TestAUnixSocketTakesAnyHost(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, newClient(t, &fakeCells{}).handler)
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	defer client.CloseIdleConnections()
	answer, err := client.Get("http://domicile/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != 200 {
		t.Errorf("status %d", answer.StatusCode)
	}
}

// TestSlowClientsAreCut: whoever dribbles headers or a body loses the connection when the time for them is over. The
// test waits for the server to close, however long that takes.
func TestSlowClientsAreCut(t *testing.T) {
	for name, test := range map[string]struct{ begin, dribble string }{
		"headers": {"GET /v1/events HTTP/1.1\r\nHost: x\r\n", "X-A: b\r\n"},
		"a body":  {"POST /v1/proofs HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n", " "},
	} {
		t.Run(name, func(t *testing.T) {
			address := listen(t, newClient(t, &fakeCells{}).handler, func(s *http.Server) {
				if s.ReadHeaderTimeout == 0 || s.ReadTimeout == 0 || s.WriteTimeout == 0 || s.IdleTimeout == 0 || s.MaxHeaderBytes == 0 {
					t.Errorf("a limit is missing: %+v", s)
				}
				s.ReadHeaderTimeout, s.ReadTimeout = 50*time.Millisecond, 50*time.Millisecond
			})
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			begin := test.begin
			if strings.Contains(begin, "%s") {
				begin = fmt.Sprintf(begin, address)
			}
			if _, err := io.WriteString(conn, begin); err != nil {
				t.Fatal(err)
			}
			closed := make(chan []byte)
			go func() {
				answer, _ := io.ReadAll(conn)
				closed <- answer
			}()
			for {
				select {
				case answer := <-closed:
					if strings.HasPrefix(string(answer), "HTTP/1.1 200") {
						t.Errorf("answered %s", answer)
					}
					return
				case <-time.After(5 * time.Millisecond):
					_, _ = io.WriteString(conn, test.dribble)
				}
			}
		})
	}
}

func TestHeadersThatAreTooLarge(t *testing.T) {
	address := listen(t, newClient(t, &fakeCells{}).handler)
	a := exchange(t, address, "GET /v1/events?text="+strings.Repeat("a", 80<<10)+" HTTP/1.1\r\nHost: "+address+"\r\n\r\n")
	if a.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", a.StatusCode)
	}
}
