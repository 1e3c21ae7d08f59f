package sidecarapi

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// FuzzDecodeReply is about what is inside the encryption, which anybody who holds the public key can make.
func FuzzDecodeReply(f *testing.F) {
	f.Add([]byte(`{"result":"applied","files":{"/a":"00112233445566778899aabbccddeeff"},"changes":1,"at":"2026-03-01T12:00:00Z"}`))
	f.Add([]byte(`{"result":"none","files":{"/a":"","/b":"opaque","/c":"ignored"},"later":true}`))
	f.Add([]byte(`{"result":"rejected","message":"a\u0000\ud800b"}`))
	f.Add([]byte(`{"result":"queued","version":"v9.9.9","files":["/a"]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		reply, err := decodeReply(text)
		if unknown, is := errors.AsType[*NotUnderstoodError](err); is {
			if len(unknown.Version) > 64 || len(unknown.Why) > 1<<10 {
				t.Errorf("it quotes too much: %+v", unknown)
			}
			return
		}
		if err != nil {
			t.Fatalf("%v; want that it is not understood", err)
		}
		for _, value := range reply.Files {
			if !known(value) {
				t.Errorf("accepted: %q", value)
			}
		}
		again, err := reply.encode()
		if err != nil {
			return // a time beyond the year 9999
		}
		got, err := decodeReply(again)
		if err != nil || got.Result != reply.Result || got.Message != reply.Message || !reflect.DeepEqual(got.Files, reply.Files) {
			t.Errorf("%+v became %+v, %v", reply, got, err)
		}
	})
}

// A later version may have another form altogether.
func TestWhatIsNoReplyIsNotUnderstood(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text        string
		wantVersion string
	}{
		"no JSON":                         {"<html>", ""},
		"nothing":                         {"", ""},
		"null":                            {"null", ""},
		"a list":                          {"[1]", ""},
		"another form of a field":         {`{"version":"v9.9.9","result":"applied","files":["/a"]}`, "v9.9.9"},
		"another form of the result":      {`{"version":"v9.9.9","result":{"state":"applied"}}`, "v9.9.9"},
		"another form of the version":     {`{"version":9,"result":"queued"}`, ""},
		"a version that is none":          {`{"version":"hunter2 is the password","result":"queued"}`, ""},
		"a version that goes on for ever": {`{"version":"` + strings.Repeat("1", 65) + `","result":"queued"}`, ""},
		"a value that is no digest":       {`{"version":"v9","result":"applied","files":{"/a":"huge"}}`, "v9"},
		"a count below zero":              {`{"result":"applied","changes":-1}`, ""},
		"a result in another case":        {`{"result":"Applied"}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reply, err := decodeReply([]byte(c.text))
			unknown, is := errors.AsType[*NotUnderstoodError](err)
			if !is || unknown.Version != c.wantVersion || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%+v, %v; want that it is not understood, of version %q", reply, err, c.wantVersion)
			}
		})
	}
}
