package reload_test

import (
	"os"
	"os/signal"
	"syscall"
	"testing"
)

// A shell cannot trap a signal that it was started without, which is what nohup does with SIGHUP.
func TestMain(m *testing.M) {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	m.Run()
}
