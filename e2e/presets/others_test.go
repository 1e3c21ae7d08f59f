//go:build presets

package presets

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// numbers are how a server shows a version that has room for nothing but a number.
func number(version string) int { return map[string]int{"v1": 1001, "v2": 1002, "v3": 1003}[version] }

func byNumber(text string) string {
	for _, v := range []string{"v1", "v2", "v3"} {
		if strings.Contains(text, strconv.Itoa(number(v))) {
			return v
		}
	}
	return ""
}

func otherServers() []server {
	return []server{postgres(), pgbouncer(), nats(), bind(), unbound(), dnsmasq(), mqttBroker()}
}

func postgresBin() string {
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres"); len(found) > 0 {
		return found[0]
	}
	return "postgres"
}

func postgres() server {
	files := one("postgresql.conf", "listen_addresses='127.0.0.1'\nport=%d\nunix_socket_directories='%s'\nhba_file='%s/db/pg_hba.conf'\nident_file='%s/db/pg_ident.conf'\ndata_directory='%s/db'\ninpod.version='inpod-%s'\n",
		func(e env, v string) []any { return []any{e.port, e.data, e.data, e.data, e.data, v} })
	return server{
		preset: "postgresql", program: postgresBin(), user: "postgres", files: files, wantProof: "the server's own views",
		bad: broken(files, "nonsense here there"),
		setup: func(t *testing.T, e env) {
			out, err := output("setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups",
				filepath.Join(filepath.Dir(postgresBin()), "initdb"), "-D", e.data+"/db", "-A", "trust", "-N")
			if err != nil {
				t.Fatal(out)
			}
		},
		argv: func(e env) []string {
			return []string{postgresBin(), "-D", e.data + "/db", "--config-file=" + e.conf + "/postgresql.conf"}
		},
		shows: func(e env) (string, error) {
			out, err := output("psql", "-h", "127.0.0.1", "-p", strconv.Itoa(e.port), "-U", "postgres", "-tAc", "SHOW inpod.version")
			return versionIn(out), err
		},
	}
}

func pgbouncer() server {
	files := one("pgbouncer.ini", "[databases]\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port=%d\nunix_socket_dir=\nauth_type=any\nadmin_users=admin\nmax_client_conn=%d\n",
		func(e env, v string) []any { return []any{e.port, number(v)} })
	return server{
		preset: "pgbouncer", program: "pgbouncer", user: "postgres", files: files, wantProof: "alive",
		bad:  broken(files, "[nonsense"),
		argv: func(e env) []string { return []string{"pgbouncer", e.conf + "/pgbouncer.ini"} },
		shows: func(e env) (string, error) {
			out, err := output("psql", "-h", "127.0.0.1", "-p", strconv.Itoa(e.port), "-U", "admin", "-tAc", "SHOW CONFIG", "pgbouncer")
			for line := range strings.Lines(out) {
				if strings.HasPrefix(line, "max_client_conn|") {
					return byNumber(line), err
				}
			}
			return "", err
		},
	}
}

func nats() server {
	files := one("nats.conf", "listen: %q\nhttp: \"127.0.0.1:%d\"\nmax_payload: %d\n",
		func(e env, v string) []any { return []any{e.listen(), e.port2, number(v)} })
	return server{
		preset: "nats-server", program: "nats-server", files: files, bad: broken(files, "max_payload: {"), wantProof: "status field",
		argv:    func(e env) []string { return []string{"nats-server", "-c", e.conf + "/nats.conf"} },
		sidecar: func(e env) []string { return []string{"--probe-url", fmt.Sprintf("http://127.0.0.1:%d/varz", e.port2)} },
		shows: func(e env) (string, error) {
			text, err := get(fmt.Sprintf("http://127.0.0.1:%d/varz", e.port2))
			return byNumber(text), err
		},
	}
}

func bind() server {
	files := one("named.conf", "options { directory %q; pid-file \"pid\"; listen-on port %d { 127.0.0.1; }; listen-on-v6 { none; }; recursion no; version \"inpod-%s\"; };\ncontrols { };\n",
		func(e env, v string) []any { return []any{e.data, e.port, v} })
	return server{
		preset: "bind9", program: "named", files: files, bad: broken(files, "nonsense here;"), wantProof: "alive",
		argv:  func(e env) []string { return []string{"named", "-g", "-c", e.conf + "/named.conf"} },
		shows: func(e env) (string, error) { return text(e, "version.bind.", dnsmessage.ClassCHAOS) },
	}
}

func unbound() server {
	files := one("unbound.conf", "server:\n username: \"\"\n chroot: \"\"\n directory: %q\n pidfile: \"\"\n use-syslog: no\n interface: 127.0.0.1\n port: %d\n do-daemonize: no\n local-zone: \"x.\" static\n local-data: 'version.x. TXT inpod-%s'\nremote-control:\n control-enable: no\n",
		func(e env, v string) []any { return []any{e.data, e.port, v} })
	return server{
		preset: "unbound", program: "unbound", files: files, bad: broken(files, "nonsense: here"), wantProof: "alive",
		argv:  func(e env) []string { return []string{"unbound", "-d", "-c", e.conf + "/unbound.conf"} },
		shows: func(e env) (string, error) { return text(e, "version.x.", dnsmessage.ClassINET) },
	}
}

func dnsmasq() server {
	files := func(_ env, v string) map[string]string {
		return map[string]string{"hosts": map[string]string{"v1": "10.0.0.1", "v2": "10.0.0.2", "v3": "10.0.0.3"}[v] + " version.x\n"}
	}
	return server{
		preset: "dnsmasq", program: "dnsmasq", files: files, wantProof: "alive", // a bad line is skipped
		argv: func(e env) []string {
			return []string{
				"dnsmasq", "-k", "-C", "/dev/null", "-h", "-R", "-p", strconv.Itoa(e.port), "-a", "127.0.0.1", "-z",
				"--pid-file=" + e.data + "/pid", "--user=root", "--addn-hosts=" + e.conf + "/hosts",
			}
		},
		shows: func(e env) (string, error) {
			answer, err := ask(e, "version.x.", dnsmessage.TypeA, dnsmessage.ClassINET)
			if err != nil || len(answer) == 0 {
				return "", err
			}
			a, ok := answer[0].Body.(*dnsmessage.AResource)
			if !ok {
				return "", nil
			}
			return fmt.Sprintf("v%d", a.A[3]), nil
		},
	}
}

func text(e env, name string, class dnsmessage.Class) (string, error) {
	answer, err := ask(e, name, dnsmessage.TypeTXT, class)
	if err != nil || len(answer) == 0 {
		return "", err
	}
	txt, ok := answer[0].Body.(*dnsmessage.TXTResource)
	if !ok {
		return "", nil
	}
	return versionIn(strings.Join(txt.TXT, "")), nil
}

func ask(e env, name string, kind dnsmessage.Type, class dnsmessage.Class) ([]dnsmessage.Resource, error) {
	query := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 1, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: class}},
	}
	packed, err := query.Pack()
	if err != nil {
		return nil, err
	}
	conn, err := net.Dial("udp", e.listen())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write(packed); err != nil {
		return nil, err
	}
	buffer := make([]byte, 4096)
	n, err := conn.Read(buffer)
	if err != nil {
		return nil, err
	}
	var answer dnsmessage.Message
	if err := answer.Unpack(buffer[:n]); err != nil {
		return nil, err
	}
	return answer.Answers, nil
}

// mqttBroker shows its version by who may come in: nobody without a name in v2.
func mqttBroker() server {
	files := one("mosquitto.conf", "listener %d 127.0.0.1\nallow_anonymous %v\n",
		func(e env, v string) []any { return []any{e.port, v != "v2"} })
	last := "v1"
	return server{
		preset: "mosquitto", program: "mosquitto",
		files:     func(e env, v string) map[string]string { last = v; return files(e, v) },
		wantProof: "alive", bad: broken(files, "nonsense here"), wantBad: "applied", // not proven: it only logs the refusal
		argv: func(e env) []string { return []string{"mosquitto", "-c", e.conf + "/mosquitto.conf"} },
		shows: func(e env) (string, error) {
			conn, err := net.DialTimeout("tcp", e.listen(), time.Second)
			if err != nil {
				return "", err
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(time.Second))
			// CONNECT, protocol MQTT 3.1.1, clean session, no keep-alive, client "t"; the answer's last byte is the verdict.
			if _, err := conn.Write([]byte("\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01t")); err != nil {
				return "", err
			}
			answer := make([]byte, 4)
			if _, err := conn.Read(answer); err != nil {
				return "", err
			}
			if answer[3] == 0 {
				if last == "v3" {
					return "v3", nil
				}
				return "v1", nil
			}
			return "v2", nil
		},
	}
}

func TestRefusedServers(t *testing.T) {
	for _, name := range []string{"redis", "memcached", "mysql", "mariadb"} {
		t.Run(name, func(t *testing.T) {
			out, err := exec.Command(binary, "--watch", os.TempDir(), "--preset", name).CombinedOutput()
			if err == nil || !strings.Contains(string(out), "rolled") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
