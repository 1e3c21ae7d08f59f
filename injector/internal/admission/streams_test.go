package admission_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"inpod.dev/inpod/injector/internal/admission"
)

// hog is a connection that makes the most of what a server allows it.
type hog struct {
	net.Conn
	framer *http2.Framer
	// streams is how many requests at a time the server allows, header how large one's header may be, and frame how large a frame.
	streams, header, frame uint32
}

// newHog connects and reads what the server allows. It is an error when the server takes no more connections.
func newHog(ctx context.Context, address, port string) (*hog, error) {
	dialer := tls.Dialer{NetDialer: dialerFrom(address), Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}}
	c, err := dialer.DialContext(ctx, "tcp4", "127.0.0.1:"+port)
	if err != nil {
		return nil, err
	}
	h := &hog{Conn: c, framer: http2.NewFramer(c, c), streams: 100, header: 1 << 20, frame: 16 << 10}
	if err := h.greet(); err != nil {
		_ = c.Close()
		return nil, err
	}
	go func() { _, _ = io.Copy(io.Discard, c) }() // so that the server is never kept from writing
	return h, nil
}

func (h *hog) greet() error {
	if _, err := io.WriteString(h, http2.ClientPreface); err != nil {
		return err
	}
	if err := h.framer.WriteSettings(); err != nil {
		return err
	}
	for {
		frame, err := h.framer.ReadFrame()
		if err != nil {
			return err
		}
		settings, is := frame.(*http2.SettingsFrame)
		if !is || settings.IsAck() {
			continue
		}
		_ = settings.ForeachSetting(func(s http2.Setting) error {
			switch s.ID { //nolint:exhaustive // the others bound nothing
			case http2.SettingMaxConcurrentStreams:
				h.streams = s.Val
			case http2.SettingMaxHeaderListSize:
				h.header = s.Val
			case http2.SettingMaxFrameSize:
				h.frame = s.Val
			}
			return nil
		})
		return h.framer.WriteSettingsAck()
	}
}

// open begins as many requests as the server allows, each with the largest header, a part of its body and no end. Then comes the
// beginning of the largest frame.
func (h *hog) open() {
	const overhead = 32 // of each field, in the count of HTTP/2
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for n := range h.streams {
		block.Reset()
		left := int(h.header)
		for _, f := range []hpack.HeaderField{
			{Name: ":method", Value: http.MethodPost},
			{Name: ":scheme", Value: "https"},
			{Name: ":authority", Value: "x"},
			{Name: ":path", Value: admission.PathPods},
		} {
			left -= len(f.Name) + len(f.Value) + overhead
			_ = encoder.WriteField(f)
		}
		_ = encoder.WriteField(hpack.HeaderField{Name: "x", Value: strings.Repeat("x", left-overhead-1), Sensitive: true})
		stream, fragment, isFirst := 2*n+1, block.Bytes(), true
		for len(fragment) > 0 || isFirst {
			size := min(len(fragment), 16<<10)
			part, isLast := fragment[:size], size == len(fragment)
			var err error
			if isFirst {
				err = h.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: part, EndHeaders: isLast})
			} else {
				err = h.framer.WriteContinuation(stream, isLast, part)
			}
			if err != nil {
				return // the server has enough of it
			}
			fragment, isFirst = fragment[size:], false
		}
		if h.framer.WriteData(stream, false, make([]byte, 1000)) != nil {
			return
		}
	}
	const data, beginning = 0, 9
	announced := binary.BigEndian.AppendUint32(nil, h.frame<<8|data)
	announced = append(announced, 0)
	announced = binary.BigEndian.AppendUint32(announced, 1)
	_, _ = h.Write(announced[:beginning])
}

// Connections that hold all the requests and frames that they may, from as many addresses as it takes to fill all places, stay
// within the limit of memory, and an address that has none of them is answered.
func TestRequestsThatDoNotEndTakeNoMemoryAndKeepNobodyOut(t *testing.T) {
	server := startFlooded(t)
	body, err := json.Marshal(request(asks))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // what the server gives up after a while is begun again
		var hogs []*hog
		for address := range 8 {
			for range 16 {
				if h, err := newHog(t.Context(), fmt.Sprintf("127.0.2.%d", address+1), server.port); err == nil {
					hogs = append(hogs, h)
				}
			}
		}
		for _, h := range hogs {
			h.open()
		}
		for i := range 20 { // each from a new connection
			if status, answer := send(t.Context(), clientAt(t, "127.0.0.2"), server.port, body, false); status != http.StatusOK || !bytes.Contains(answer, []byte(`"patch"`)) {
				t.Errorf("question %d: %d %s", i, status, answer)
			}
		}
		t.Logf("each of %d connections may have %d requests with headers of %d bytes, and frames of %d bytes: peak memory %.1f MiB",
			len(hogs), hogs[0].streams, hogs[0].header, hogs[0].frame, float64(server.peak(t))/(1<<20))
		for _, h := range hogs {
			_ = h.Close()
		}
	}
	if peak := server.peak(t); peak > memoryLimit && !isRace {
		t.Errorf("the server had %d bytes, and the limit of the chart is %d", peak, memoryLimit)
	}
}
