package pgwire_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/internal/pgwire"
)

// message is one message of a server.
func message(kind byte, body string) string {
	size := binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))
	return string(kind) + string(size) + body
}

// row is a DataRow; "NULL" stands for no value.
func row(values ...string) string {
	body := binary.BigEndian.AppendUint16(nil, uint16(len(values)))
	for _, v := range values {
		if v == "NULL" {
			body = append(body, "\xff\xff\xff\xff"...)
			continue
		}
		body = append(binary.BigEndian.AppendUint32(body, uint32(len(v))), v...)
	}
	return message('D', string(body))
}

var (
	welcome = message('R', "\x00\x00\x00\x00") + message('S', "server_version\x0015\x00") + message('K', "12345678") + message('Z', "I")
	ready   = message('C', "SELECT 1\x00") + message('Z', "I")
)

// server answers the first packet of its one client with the first text, and so on, and closes after the last.
func server(t *testing.T, answers ...string) pgwire.Address {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		for _, answer := range answers {
			if _, err := conn.Read(make([]byte, 4096)); err != nil {
				return
			}
			_, _ = io.WriteString(conn, answer)
		}
	}()
	return pgwire.Address{Network: "unix", Address: path}
}

func TestQuery(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answers   []string
		want      [][]string
		wantError string
	}{
		"rows are read, and NULL is empty": {
			answers: []string{welcome, message('T', "\x00\x00") + row("a", "NULL", "") + row("b", "c", "d") + ready},
			want:    [][]string{{"a", "", ""}, {"b", "c", "d"}},
		},
		"an answer may have no rows": {answers: []string{welcome, ready}},
		"notices are passed over":    {answers: []string{welcome, message('N', "Mnotice\x00\x00") + row("a") + ready}, want: [][]string{{"a"}}},
		"the server's own words are the error": {
			answers:   []string{welcome, message('E', "SERROR\x00C42501\x00Mpermission denied for view x\x00\x00") + message('Z', "I")},
			wantError: "permission denied for view x (SQLSTATE 42501)",
		},
		"a server that requires a password is not asked": {answers: []string{message('R', "\x00\x00\x00\x05salt")}, wantError: "requires a password"},
		"a server may refuse the connection":             {answers: []string{message('E', "C28000\x00Mno entry\x00\x00")}, wantError: "no entry"},
		"a cut row is an error":                          {answers: []string{welcome, message('D', "\x00\x02\x00\x00\x00\x09ab")}, wantError: "cut off"},
		"a huge message is an error":                     {answers: []string{welcome, "D\x7f\xff\xff\xff"}, wantError: "2147483647 bytes"},
		"HTTP is not the protocol":                       {answers: []string{"HTTP/1.1 400 Bad Request\r\n"}, wantError: "not an answer"},
		"a server that hangs up is an error":             {answers: []string{welcome, ""}, wantError: "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ask(t, server(t, tc.answers...))
			if tc.wantError != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantError) {
					t.Fatalf("%v, want %q", err, tc.wantError)
				}
				return
			}
			if diff := cmp.Diff(tc.want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func ask(t *testing.T, at pgwire.Address) ([][]string, error) {
	t.Helper()
	c, err := pgwire.Dial(t.Context(), at, "postgres", "postgres")
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Query("SELECT 1")
}

func TestNobodyListensIsAnError(t *testing.T) {
	t.Parallel()
	_, err := ask(t, pgwire.Address{Network: "unix", Address: filepath.Join(t.TempDir(), "none")})
	if err == nil {
		t.Error("want an error")
	}
	if said, ok := errors.AsType[*pgwire.ServerError](err); ok {
		t.Errorf("%v is not the server's word", said)
	}
}

func TestAServerWithoutTLSShowsNoCertificate(t *testing.T) {
	t.Parallel()
	if _, err := pgwire.Leaf(t.Context(), server(t, "N")); err == nil || !strings.Contains(err.Error(), "offers no TLS") {
		t.Errorf("%v, want no TLS", err)
	}
}

// FuzzQuery lets a server say anything: there must be an end, without a panic.
func FuzzQuery(f *testing.F) {
	f.Add([]byte(row("a", "NULL") + ready))
	f.Add([]byte(message('E', "C42501\x00Mno\x00\x00") + message('Z', "I")))
	f.Add([]byte(message('D', "\x00\x02\x00\x00\x00\x09ab")))
	f.Add([]byte(message('D', "\xff\xff")))
	f.Fuzz(func(t *testing.T, answer []byte) {
		rows, err := pgwire.Exchange(answer)
		if err != nil && rows != nil {
			t.Errorf("rows %v beside %v", rows, err)
		}
	})
}
