package confirm

import (
	"reflect"
	"testing"
)

// FuzzDecodeReply is about what is inside the seal, which anybody can make who holds the public key.
func FuzzDecodeReply(f *testing.F) {
	f.Add([]byte(`{"result":"applied","files":{"/a":"00112233445566778899aabbccddeeff"},"changes":1,"at":"2026-03-01T12:00:00Z"}`))
	f.Add([]byte(`{"result":"none","files":{"/a":"","/b":"opaque","/c":"ignored"},"later":true}`))
	f.Add([]byte(`{"result":"rejected","message":"a\u0000\ud800b"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		reply, err := decodeReply(text)
		if err != nil {
			return
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
