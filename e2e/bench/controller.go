//go:build e2e

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"inpod.dev/inpod/e2e/internal/framework"
)

// settle is the controller's settle time in all scenarios. It is part of each latency.
const settle = time.Second

// process is a running controller.
type process struct {
	cmd     *exec.Cmd
	address string
	log     *os.File
	started time.Time
	exited  chan struct{}
}

// start runs the controller and waits until its informer caches have synced.
func (b *bench) start(ctx context.Context, flags ...string) (*process, error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	log, err := os.CreateTemp("", "inpod-bench-*.log")
	if err != nil {
		return nil, err
	}
	args := append([]string{
		"--kubeconfig=" + b.Env.Kubeconfig, "--listen-address=" + address, "--settle=" + settle.String(), "--auto-annotation=" + autoKey,
		"--reload-in-place=false", "--baseline-rate=1000",
	}, flags...)
	p := &process{cmd: exec.Command(b.binary, args...), address: address, log: log, started: time.Now(), exited: make(chan struct{})}
	p.cmd.Stderr = log
	p.cmd.Env = append(os.Environ(), "POD_NAMESPACE="+b.own, "GOMEMLIMIT=230MiB")
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	if err := p.await(ctx, time.Minute, func() (bool, error) { return p.get(ctx, "/ready", io.Discard) == nil, nil }); err != nil {
		return nil, errors.Join(fmt.Errorf("the controller is not ready (log: %s): %w", log.Name(), err), p.stop())
	}
	return p, nil
}

func freeAddress(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

func (p *process) stop() error {
	defer p.log.Close()
	_ = p.cmd.Process.Signal(os.Interrupt)
	select {
	case <-p.exited:
		return os.Remove(p.log.Name())
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		return errors.New("the controller did not stop within 20 s")
	}
}

func (p *process) get(ctx context.Context, path string, into io.Writer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+path, nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Timeout: 10 * time.Second}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(into, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, response.Status)
	}
	return nil
}

// metrics reads /metrics.
func (p *process) metrics(ctx context.Context) (framework.Metrics, error) {
	var body bytes.Buffer
	if err := p.get(ctx, "/metrics", &body); err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(&body)
}

// await asks every 20 ms; the controller is a process, and has no watch for its metrics.
func (p *process) await(ctx context.Context, limit time.Duration, done func() (bool, error)) error {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-p.exited:
			return errors.New("the controller has ended")
		case <-bounded.Done():
			return fmt.Errorf("not within %s", limit)
		}
	}
}

// awaitSum waits until a metric has a value.
func (p *process) awaitSum(ctx context.Context, name string, want float64) error {
	var last float64
	err := p.await(ctx, limit, func() (bool, error) {
		m, err := p.metrics(ctx)
		if err != nil {
			return false, err
		}
		last = m.Sum(name)
		return last >= want, nil
	})
	if err != nil {
		return fmt.Errorf("%s is %v, want %v: %w", name, last, want, err)
	}
	return nil
}

// usage is what the process has used so far.
type usage struct {
	cpu      time.Duration
	rss, max int64 // in bytes
	requests map[string]float64
}

func (p *process) usage(ctx context.Context) (usage, error) {
	u := usage{requests: map[string]float64{}}
	m, err := p.metrics(ctx)
	if err != nil {
		return u, err
	}
	for _, method := range []string{"GET", "PATCH", "POST", "PUT", "DELETE"} {
		u.requests[method] = m.Sum("rest_client_requests_total", "method", method)
	}
	u.cpu = time.Duration(m.Sum("process_cpu_seconds_total") * float64(time.Second))
	u.rss = int64(m.Sum("process_resident_memory_bytes"))
	status, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/status")
	if err != nil {
		return u, err
	}
	for line := range strings.SplitSeq(string(status), "\n") {
		if size, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(size), "kB")), 10, 64)
			u.max = kb << 10
		}
	}
	return u, nil
}

func (u usage) since(before usage) usage {
	diff := usage{cpu: u.cpu - before.cpu, rss: u.rss, max: u.max, requests: map[string]float64{}}
	for method, n := range u.requests {
		diff.requests[method] = n - before.requests[method]
	}
	return diff
}
