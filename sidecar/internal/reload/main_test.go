package reload_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
)

// A shell cannot trap a signal that it was started without, which is what nohup does with SIGHUP.
func TestMain(m *testing.M) {
	if mode := os.Getenv(serverMode); mode != "" {
		if err := serve(mode); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	m.Run()
}

// serverMode is the variable that makes this program a server with a master, and a worker that listens. At SIGHUP the master starts
// another worker, which does not listen in the mode "reads", as one that reads its files or cannot bind its port. Where it
// listens, the old worker lets go of the port, but in the mode "shares". Old workers stay, as with a connection that stays open.
const serverMode = "INPOD_TEST_SERVER"

// serving is the script of such a server.
func serving(mode string) string {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return serverMode + "='" + mode + "' exec '" + self + "' \"$0\""
}

func serve(mode string) error {
	if mode == "worker" {
		return work()
	}
	reloads := make(chan os.Signal, 1)
	signal.Notify(reloads, syscall.SIGHUP)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	tcp, _ := l.(*net.TCPListener)
	port, err := tcp.File()
	if err != nil {
		return err
	}
	old, err := startWorker(port)
	if err != nil {
		return err
	}
	if err := os.WriteFile(os.Args[1], nil, 0o600); err != nil {
		return err
	}
	for range reloads {
		var with *os.File
		if mode != "reads" {
			with = port
		}
		if _, err := startWorker(with); err != nil {
			return err
		}
		if mode == "hands over" {
			if err := old.Signal(syscall.SIGUSR1); err != nil {
				return err
			}
		}
	}
	return nil
}

// work listens at the port that it was given, until a signal makes it let go of it.
func work() error {
	const port = 3
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGUSR1)
	fmt.Println("ready")
	<-stop
	if err := syscall.Close(port); err != nil {
		return err
	}
	select {}
}

// startWorker returns when the worker is ready. Without a port it does not listen.
func startWorker(port *os.File) (*os.Process, error) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serverMode+"=worker")
	if port != nil {
		cmd.ExtraFiles = []*os.File{port}
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	_, err = out.Read(make([]byte, 1))
	return cmd.Process, err
}
