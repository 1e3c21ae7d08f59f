// Command app is the workload of tests that do not need a real server: a few hundred kilobytes of memory, started in
// milliseconds, and gone at once when asked.
//
//	app sleep             wait for SIGTERM or SIGINT, then exit 0
//	app cat FILE...       print files
//	app ls DIR            print the names in a folder
//	app env [NAME]        print one variable, or all
//	app lookup HOST       print the addresses of a name
//	app get URL           print what a server answers
//	app serve [ADDRESS]   answer GET /env/NAME and GET /file/PATH, and / with "ok" (default :8080); keep what is posted to
//	                      /hook, a line each, and answer GET /hook with it
//	app silent [ADDRESS]  accept connections, print "asked" for each that says something, and say nothing (default :8443)
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
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "app:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		args = []string{"sleep"}
	}
	command, args := args[0], args[1:]
	switch {
	case command == "sleep":
		<-ctx.Done()
		return nil
	case command == "cat":
		return cat(args, out)
	case command == "ls" && len(args) == 1:
		return list(args[0], out)
	case command == "env":
		return printEnv(args, out)
	case command == "lookup" && len(args) == 1:
		return lookup(ctx, args[0], out)
	case command == "get" && len(args) == 1:
		return get(ctx, args[0], out)
	case command == "serve":
		return serve(ctx, append(args, ":8080")[0])
	case command == "silent":
		return silent(ctx, append(args, ":8443")[0], out)
	}
	return fmt.Errorf("do not understand %q with %d arguments; there are: sleep, cat FILE..., ls DIR, env [NAME], lookup HOST, get URL, serve [ADDRESS], silent [ADDRESS]", command, len(args))
}

func cat(files []string, out io.Writer) error {
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if _, err := out.Write(content); err != nil {
			return err
		}
	}
	return nil
}

func list(dir string, out io.Writer) error {
	entries, err := os.ReadDir(dir)
	for _, entry := range entries {
		fmt.Fprintln(out, entry.Name())
	}
	return err
}

func printEnv(names []string, out io.Writer) error {
	if len(names) == 0 {
		_, err := fmt.Fprintln(out, strings.Join(os.Environ(), "\n"))
		return err
	}
	value, ok := os.LookupEnv(names[0])
	if !ok {
		return fmt.Errorf("%s is not set", names[0])
	}
	_, err := fmt.Fprintln(out, value)
	return err
}

func lookup(ctx context.Context, host string, out io.Writer) error {
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, strings.Join(addresses, "\n"))
	return err
}

func get(ctx context.Context, url string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(out, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}

// silent keeps the connections of those who wait for an answer.
func silent(ctx context.Context, address string, out io.Writer) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	for {
		connection, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go func() {
			if _, err := io.ReadFull(connection, make([]byte, 1)); err == nil {
				fmt.Fprintln(out, "asked")
			}
			_, _ = io.Copy(io.Discard, connection) // until the other side gives up
			_ = connection.Close()
		}()
	}
}

func serve(ctx context.Context, address string) error {
	server := &http.Server{Addr: address, Handler: routes(), ReadHeaderTimeout: 5 * time.Second}
	stopped := make(chan error, 1)
	go func() { stopped <- server.ListenAndServe() }()
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
		return server.Close()
	}
}

func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /env/{name}", func(w http.ResponseWriter, r *http.Request) {
		if err := printEnv([]string{r.PathValue("name")}, w); err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
		}
	})
	mux.HandleFunc("GET /file/{path...}", func(w http.ResponseWriter, r *http.Request) {
		if err := cat([]string{"/" + r.PathValue("path")}, w); err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
		}
	})
	var posted inbox
	mux.HandleFunc("POST /hook", posted.take)
	mux.HandleFunc("GET /hook", posted.show)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	return mux
}

// inbox keeps what was posted.
type inbox struct {
	mu    sync.Mutex
	lines []byte
}

func (i *inbox) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.lines = append(append(i.lines, bytes.TrimSpace(body)...), '\n')
}

func (i *inbox) show(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	_, _ = w.Write(i.lines)
}
