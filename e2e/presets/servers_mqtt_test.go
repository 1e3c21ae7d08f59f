//go:build presets

package presets

import (
	"bytes"
	be "encoding/binary"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// mqtt connects as a user, and publishes to a topic if there is one. let says that the user may do so.
func mqtt(e env, user, topic string) (let bool, err error) {
	conn, err := net.DialTimeout("tcp", e.listen(), time.Second)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
	word := func(s string) string { return string(be.BigEndian.AppendUint16(nil, uint16(len(s)))) + s }
	send := func(kind byte, body string) { fmt.Fprintf(conn, "%c%c%s", kind, len(body), body) }
	receive := func() ([]byte, error) {
		answer := make([]byte, 200)
		n, err := conn.Read(answer)
		return answer[:n], err
	}
	flags, login := "\xc2", word(user)+word("secret")
	if user == "" { // anonymous
		flags, login = "\x02", ""
	}
	send(0x10, word("MQTT")+"\x05"+flags+"\x00\x3c\x00"+word("inpod"+user+topic)+login)
	answer, err := receive()
	if err != nil || len(answer) < 4 || answer[3] != 0 || topic == "" {
		return err == nil && len(answer) >= 4 && answer[3] == 0, err
	}
	send(0x32, word(topic)+"\x00\x01\x00x")
	answer, err = receive()
	const notAuthorized = 0x87
	return !bytes.Contains(answer, []byte{notAuthorized}), err
}

func mqttApp() app {
	main := func(e env, v string) map[string]string {
		return map[string]string{"mosquitto.conf": fmt.Sprintf(`user root
allow_anonymous %[2]v
password_file %[1]s/passwords
acl_file %[1]s/acl
listener %[3]d 127.0.0.1
listener %[4]d 127.0.0.1
certfile %[1]s/tls.crt
keyfile %[1]s/tls.key
`, e.conf, v == "v2", e.port, e.port2)}
	}
	passwords := func(_ env, v string) map[string]string {
		return map[string]string{"passwords": hashed(v)}
	}
	acl := func(_ env, v string) map[string]string {
		return map[string]string{"acl": "topic readwrite " + v + "\nuser v1\ntopic readwrite " + v + "\nuser v2\ntopic readwrite " + v + "\n"}
	}
	user := func(e env) (string, error) {
		for _, v := range []string{"v1", "v2"} {
			if let, err := mqtt(e, v, ""); err != nil || let {
				return v, err
			}
		}
		return "", nil
	}
	every := not("all of it is re-read")
	return app{
		server: server{
			preset: "mosquitto", program: "mosquitto",
			argv: func(e env) []string { return []string{"mosquitto", "-c", e.conf + "/mosquitto.conf"} },
		},
		version: []string{"sh", "-c", "mosquitto -h | head -1"},
		kinds: []fileKind{
			{
				name: "main", text: main, bad: broken(main, "nonsense here"),
				restart: func(e env) map[string]string {
					return broken(main, fmt.Sprintf("listener %d 127.0.0.1", e.port3))(e)
				},
				shows: func(e env) (string, error) {
					let, err := mqtt(e, "", "")
					return map[bool]string{true: "v2", false: "v1"}[let], err
				},
				cells: map[editKind]want{
					// It only logs the refusal, of the whole file.
					good: {result: unproven}, bad: {result: unproven, serves: oldOne},
					restartOnly: {result: needsRestart, message: "listener"},
					deleted:     {result: rejected}, mixed: {result: unproven, serves: oldOne},
				},
			},
			{
				name: "password file", text: passwords, shows: user, bad: broken(passwords, "nonsense"),
				cells: map[editKind]want{
					good: {result: unproven}, bad: {result: rejected, message: "passwords line"}, restartOnly: every,
					deleted: {result: rejected}, mixed: {result: rejected},
				},
			},
			{
				name: "access list", text: acl, bad: broken(acl, "nonsense"),
				shows: func(e env) (string, error) {
					name, err := user(e)
					if err != nil || name == "" {
						return "", err
					}
					for _, v := range []string{"v1", "v2"} {
						if let, err := mqtt(e, name, v); err != nil || let {
							return v, err
						}
					}
					return "", nil
				},
				cells: map[editKind]want{
					good: {result: unproven}, bad: {result: rejected, message: "acl line"}, restartOnly: every,
					deleted: {result: rejected}, mixed: {result: rejected},
				},
			},
			{
				name: "certificate and key", text: certFiles("tls.crt", "tls.key"), shows: leaf(port2), bad: mismatched("tls.crt", "tls.key"),
				cells: map[editKind]want{
					good: {result: unproven}, bad: {result: rejected, message: "private key does not match"}, restartOnly: every,
					deleted: {result: rejected, message: "no certificate"}, mixed: {result: rejected},
				},
			},
		},
	}
}

// hashed is a password file of one user, whose password is "secret".
func hashed(user string) string {
	hashedMu.Lock()
	defer hashedMu.Unlock()
	if text, ok := hashes[user]; ok {
		return text
	}
	file, err := os.CreateTemp("", "inpod-passwords")
	must0(err)
	defer os.Remove(file.Name())
	must0(file.Close())
	if out, err := output("mosquitto_passwd", "-b", "-c", file.Name(), user, "secret"); err != nil {
		panic(out)
	}
	text, err := os.ReadFile(file.Name())
	must0(err)
	hashes[user] = string(text)
	return hashes[user]
}

var (
	hashedMu sync.Mutex
	hashes   = map[string]string{}
)
