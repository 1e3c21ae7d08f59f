package forward

import (
	"bufio"
	"io"
	"net"
	"testing"
)

func TestBothDirectionsAndTheirEndsArePassedOn(t *testing.T) {
	t.Parallel()
	target, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	// Answers after the end of its input, as a server of exec does.
	go func() {
		connection, err := target.Accept()
		if err != nil {
			return
		}
		defer connection.Close()
		input, _ := io.ReadAll(connection)
		_, _ = io.WriteString(connection, "got "+string(input)+"\n")
	}()

	file, port, err := Listen(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() { _ = Serve(listener, target.Addr().String()) }()

	connection, err := net.Dial("tcp4", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if _, err := io.WriteString(connection, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := connection.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(connection).ReadString('\n'); err != nil || line != "got hello\n" {
		t.Errorf("answer is %q, %v", line, err)
	}
}

func TestTakenPortIsReplaced(t *testing.T) {
	t.Parallel()
	first, port, err := Listen(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, other, err := Listen(t.Context(), port)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if other == port {
		t.Error("two listeners have the same port")
	}
}
