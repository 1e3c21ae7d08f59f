// Package pgwire asks PostgreSQL, and what speaks its protocol, a question.
//
// It knows what such a question needs and no more: protocol 3.0, no password, the simple query. A server that requires
// a password is not asked. A program such as psql costs more memory than the sidecar may use.
package pgwire

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// ErrPassword means that the server requires a password, which the sidecar does not have.
var ErrPassword = errors.New("the server requires a password")

// ErrProtocol means that the other end does not speak the protocol.
var ErrProtocol = errors.New("not an answer of PostgreSQL's protocol")

// ServerError is what the server says instead of an answer.
type ServerError struct {
	// Code is the SQLSTATE, Message the server's sentence.
	Code, Message string
}

func (e *ServerError) Error() string { return e.Message + " (SQLSTATE " + e.Code + ")" }

// Bounds of what is read. Answers here are a few lines.
const (
	maxMessage = 1 << 20
	maxRows    = 10_000
	maxTime    = 5 * time.Second
)

// Numbers that stand where a message of the start has its protocol version.
const (
	protocol3  = 3 << 16
	sslRequest = 80877103
)

// Conn is a connection that may be asked.
type Conn struct {
	conn net.Conn
	in   *bufio.Reader
}

// Address is where a server listens: a network of package net ("unix", "tcp") and its address.
type Address struct{ Network, Address string }

func (a Address) String() string { return a.Address }

func dial(ctx context.Context, at Address) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: maxTime}).DialContext(ctx, at.Network, at.Address)
	if err != nil {
		return nil, err
	}
	end := time.Now().Add(maxTime)
	if sooner, ok := ctx.Deadline(); ok && sooner.Before(end) {
		end = sooner
	}
	if err := conn.SetDeadline(end); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// Dial connects as a user who needs no password. All questions together have five seconds, and no more than ctx.
func Dial(ctx context.Context, at Address, user, database string) (*Conn, error) {
	conn, err := dial(ctx, at)
	if err != nil {
		return nil, err
	}
	c := &Conn{conn: conn, in: bufio.NewReader(conn)}
	if err := c.start(user, database); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("ask %s as %s: %w", at, user, err)
	}
	return c, nil
}

// Close ends the connection.
func (c *Conn) Close() {
	_, _ = c.conn.Write([]byte{'X', 0, 0, 0, 4})
	_ = c.conn.Close()
}

func (c *Conn) start(user, database string) error {
	var body []byte
	body = binary.BigEndian.AppendUint32(body, protocol3)
	for _, word := range []string{"user", user, "database", database, "application_name", "inpod", ""} {
		body = append(append(body, word...), 0)
	}
	packet := binary.BigEndian.AppendUint32(nil, uint32(len(body)+4)) //nolint:gosec // names are short
	if _, err := c.conn.Write(append(packet, body...)); err != nil {
		return err
	}
	for {
		kind, body, err := c.read()
		switch {
		case err != nil:
			return err
		case kind == 'R' && (len(body) < 4 || binary.BigEndian.Uint32(body) != 0):
			return ErrPassword
		case kind == 'E':
			return serverError(body)
		case kind == 'Z':
			return nil
		}
	}
}

// Query asks in the simple way and returns the rows of the answer as text, NULL as "".
func (c *Conn) Query(sql string) ([][]string, error) {
	packet := []byte{'Q'}
	packet = binary.BigEndian.AppendUint32(packet, uint32(len(sql)+5)) //nolint:gosec // statements are constants
	packet = append(append(packet, sql...), 0)
	if _, err := c.conn.Write(packet); err != nil {
		return nil, err
	}
	var rows [][]string
	var said error
	for {
		kind, body, err := c.read()
		if err != nil {
			return nil, err
		}
		switch kind {
		case 'D':
			row, err := parseRow(body)
			if err != nil {
				return nil, err
			}
			if rows = append(rows, row); len(rows) > maxRows {
				return nil, fmt.Errorf("%w: more than %d rows", ErrProtocol, maxRows)
			}
		case 'E':
			said = serverError(body)
		case 'Z':
			if said != nil {
				return nil, said
			}
			return rows, nil
		}
	}
}

// read reads one message.
func (c *Conn) read() (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return 0, nil, err
	}
	size := binary.BigEndian.Uint32(head[1:])
	if size < 4 || size > maxMessage {
		return 0, nil, fmt.Errorf("%w: a message of %d bytes", ErrProtocol, size)
	}
	body = make([]byte, size-4)
	if _, err := io.ReadFull(c.in, body); err != nil {
		return 0, nil, err
	}
	return head[0], body, nil
}

// parseRow reads a DataRow: the number of columns, then length and text of each, length -1 for NULL.
func parseRow(body []byte) ([]string, error) {
	short := fmt.Errorf("%w: a row that is cut off", ErrProtocol)
	if len(body) < 2 {
		return nil, short
	}
	row := make([]string, binary.BigEndian.Uint16(body))
	body = body[2:]
	for i := range row {
		if len(body) < 4 {
			return nil, short
		}
		size := int32(binary.BigEndian.Uint32(body)) //nolint:gosec // -1 is meant
		body = body[4:]
		switch {
		case size < 0:
			continue
		case int(size) > len(body):
			return nil, short
		}
		row[i], body = string(body[:size]), body[size:]
	}
	return row, nil
}

// serverError reads an ErrorResponse: fields of a letter and a text that ends with a zero byte.
func serverError(body []byte) error {
	e := &ServerError{Code: "?", Message: "an error without words"}
	for len(body) > 1 {
		text, rest, _ := bytes.Cut(body[1:], []byte{0})
		switch body[0] {
		case 'C':
			e.Code = string(text)
		case 'M':
			e.Message = string(text)
		}
		body = rest
	}
	return e
}

// Leaf is the certificate that the server at an address shows, in DER form. It is not verified.
func Leaf(ctx context.Context, at Address) ([]byte, error) {
	conn, err := dial(ctx, at)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	request := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 8}, sslRequest)
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	var answer [1]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return nil, err
	}
	if answer[0] != 'S' {
		return nil, fmt.Errorf("%s offers no TLS", at)
	}
	return leaf(ctx, conn)
}

// leaf shakes hands. A server that wants a certificate of its client still shows its own.
func leaf(ctx context.Context, conn net.Conn) ([]byte, error) {
	var seen []byte
	config := &tls.Config{
		InsecureSkipVerify: true, //nolint:gosec // what it shows is compared, not trusted, and nothing is sent
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) > 0 {
				seen = state.PeerCertificates[0].Raw
			}
			return nil
		},
	}
	err := tls.Client(conn, config).HandshakeContext(ctx)
	if seen == nil && err == nil {
		err = errors.New("no certificate was shown")
	}
	if seen == nil {
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return seen, nil
}
