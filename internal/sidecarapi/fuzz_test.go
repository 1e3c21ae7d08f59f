package sidecarapi_test

import (
	"bytes"
	"encoding/json"
	"path"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/internal/sidecarapi"
)

// Whatever a stranger sends, the sidecar gets either an error or paths that lead nowhere else.
func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(`{"nonce":"AQEBAQEBAQEBAQEBAQEBAQ==","files":["/etc/nginx/nginx.conf"]}`))
	f.Add([]byte(`{"nonce":"AQEBAQEBAQEBAQEBAQEBAQ==","files":["/etc/../x","/a//b","/a\u0000"]}`))
	f.Add([]byte(`{"nonce":[1,2],"files":"x"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, body []byte) {
		request, err := sidecarapi.ParseRequest(body)
		if err != nil {
			return
		}
		if len(request.Nonce) < 16 || len(request.Files) > sidecarapi.MaxFiles {
			t.Errorf("accepted: %+v", request)
		}
		for _, file := range request.Files {
			if !path.IsAbs(file) || path.Clean(file) != file {
				t.Errorf("accepted: %q", file)
			}
		}
		text, err := json.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sidecarapi.ParseRequest(text); err != nil && len(text) <= sidecarapi.MaxRequest {
			t.Errorf("%s was accepted and then not: %v", text, err)
		}
	})
}

// Whatever answers, the controller gets either an error or a reply that it can rely on; by chance nothing opens.
func FuzzOpen(f *testing.F) {
	nonce := bytes.Repeat([]byte{1}, 16)
	encrypted, err := keyOf(f, installation(7)).Encrypt(nonce, full())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encrypted)
	f.Add(encrypted[:len(encrypted)/2])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, other []byte) {
		reply, err := sidecarapi.Open(installation(7), nonce, other)
		if err == nil && !cmp.Equal(reply, full()) { // each process of a fuzz run encrypts its own seed
			t.Errorf("opened as %+v", reply)
		}
	})
}
