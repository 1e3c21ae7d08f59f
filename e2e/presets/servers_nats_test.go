//go:build presets

package presets

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"
)

func natsApp() app {
	conf := func(e env, v string) map[string]string {
		return map[string]string{"nats.conf": fmt.Sprintf(`listen: "%s"
http: "127.0.0.1:%d"
max_payload: %d
tls { cert_file: "%s/tls.crt", key_file: "%s/tls.key" }
include "conf.d/deep/accounts.conf"
`, e.listen(), e.port2, number(v), e.conf, e.conf)}
	}
	accounts := func(_ env, v string) map[string]string {
		return map[string]string{"conf.d/deep/accounts.conf": fmt.Sprintf("authorization { users: [ { user: %s, password: secret } ] }\n", v)}
	}
	dial := func(e env) (*tls.Conn, error) {
		conn, err := net.DialTimeout("tcp", e.listen(), time.Second)
		if err != nil {
			return nil, err
		}
		_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
		if _, err := bufio.NewReaderSize(conn, 16).ReadString('\n'); err != nil { // its INFO comes before TLS
			conn.Close()
			return nil, err
		}
		secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
		err = secure.Handshake()
		return secure, err
	}
	s := nats()
	s.files, s.bad = nil, nil
	return app{
		server: s, version: []string{"nats-server", "-v"},
		kinds: []fileKind{
			{
				name: "main", text: conf, shows: s.shows, bad: broken(conf, "max_payload: {"), restart: broken(conf, "server_name: other"),
				cells: map[editKind]want{
					good: {result: proven, proof: "status field"}, bad: {result: rejected, proof: "validator"},
					// It refuses the reload as a whole.
					restartOnly: {result: needsRestart, message: "only a start reads"},
					deleted:     {result: rejected}, mixed: {result: rejected},
				},
			},
			{
				name: "include in a nested folder", text: accounts, bad: broken(accounts, "users: {"),
				shows: func(e env) (string, error) {
					for _, v := range []string{"v1", "v2"} {
						conn, err := dial(e)
						if err != nil {
							return "", err
						}
						fmt.Fprintf(conn, "CONNECT {\"user\":%q,\"pass\":\"secret\",\"verbose\":false}\r\nPING\r\n", v)
						answer, _ := bufio.NewReader(conn).ReadString('\n')
						conn.Close()
						if strings.HasPrefix(answer, "PONG") {
							return v, nil
						}
					}
					return "", nil
				},
				cells: map[editKind]want{
					good: {result: proven, proof: "status field"}, bad: {result: rejected, proof: "validator"},
					restartOnly: not("users are re-read"),
					deleted:     {result: rejected}, mixed: {result: rejected, main: oldOne},
				},
			},
			{
				name: "certificate and key", text: certFiles("tls.crt", "tls.key"), bad: mismatched("tls.crt", "tls.key"),
				shows: func(e env) (string, error) {
					conn, err := dial(e)
					if err != nil {
						return "", err
					}
					defer conn.Close()
					return versionIn(conn.ConnectionState().PeerCertificates[0].Subject.CommonName), nil
				},
				cells: map[editKind]want{
					good: {result: proven, proof: "status field"}, bad: {result: rejected, message: "private key does not match"},
					restartOnly: not("a certificate is re-read"),
					deleted:     {result: rejected}, mixed: {result: rejected, main: oldOne},
				},
			},
		},
	}
}
