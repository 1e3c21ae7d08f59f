//go:build presets

package presets

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"inpod.dev/inpod/internal/pgwire"
)

// starttls shows the version of the certificate that a server of PostgreSQL's protocol shows.
func starttls(e env) (string, error) {
	der, err := pgwire.Leaf(context.Background(), pgwire.Address{Network: "tcp", Address: e.listen()})
	if err != nil {
		return "", err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return "", err
	}
	return versionIn(cert.Subject.CommonName), nil
}

func pgbouncerApp() app {
	conf := func(e env, v string) map[string]string {
		return map[string]string{"pgbouncer.ini": fmt.Sprintf(`[databases]
d1 = host=127.0.0.1 port=1
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %[1]d
unix_socket_dir = %[2]s
auth_type = hba
auth_hba_file = %[3]s/hba.conf
auth_file = %[3]s/users.txt
client_tls_sslmode = allow
client_tls_cert_file = %[3]s/tls.crt
client_tls_key_file = %[3]s/tls.key
max_client_conn = %[4]d
%%include %[3]s/conf.d/deep/more.ini
`, e.port, e.data, e.conf, number(v))}
	}
	include := func(_ env, v string) map[string]string {
		return map[string]string{"conf.d/deep/more.ini": fmt.Sprintf("default_pool_size = %d\n", number(v))}
	}
	users := func(_ env, v string) map[string]string {
		return map[string]string{"users.txt": `"` + v + `" "secret"` + "\n"}
	}
	hba := func(_ env, v string) map[string]string {
		return map[string]string{"hba.conf": "host all v1,v2 127.0.0.1/32 md5\nhost all h" + v + " 127.0.0.1/32 trust\n"}
	}
	setting := func(name string) func(env) (string, error) {
		return func(e env) (string, error) {
			out, err := output("setpriv", "--reuid", "postgres", "--clear-groups", "psql", "-X", "-h", e.data, "-p", strconv.Itoa(e.port),
				"-U", "pgbouncer", "-tAc", "SHOW CONFIG", "pgbouncer")
			for line := range strings.Lines(out) {
				if strings.HasPrefix(line, name+"|") {
					return byNumber(line), err
				}
			}
			return "", err
		}
	}
	// Whoever is let in is still no administrator, or no user, and is refused in other words than one who is not.
	letsIn := func(prefix string) func(env) (string, error) {
		return func(e env) (string, error) {
			for _, v := range []string{"v2", "v1"} {
				cmd := exec.Command("psql", "-X", "-h", "127.0.0.1", "-p", strconv.Itoa(e.port), "-U", prefix+v, "-tAc", "SHOW VERSION", "pgbouncer")
				cmd.Env = append(os.Environ(), "PGPASSWORD=secret")
				out, _ := cmd.CombinedOutput()
				if text := string(out); strings.Contains(text, "not allowed") || strings.Contains(text, `"trust" authentication`) {
					return v, nil
				}
			}
			return "", nil
		}
	}
	every := not("every line is re-read")
	return app{
		server: server{
			preset: "pgbouncer", program: "pgbouncer", user: "postgres",
			argv: func(e env) []string { return []string{"pgbouncer", e.conf + "/pgbouncer.ini"} },
		},
		version: []string{"pgbouncer", "-V"},
		kinds: []fileKind{
			{
				name: "main", text: conf, shows: setting("max_client_conn"),
				bad: broken(conf, "pool_mode = nonsense"), restart: broken(conf, "listen_backlog = 99"),
				cells: map[editKind]want{
					good: {result: proven, proof: "console"},
					// What stands before the mistake is in use.
					bad:         {result: rejected, serves: newOne, message: "pool_mode"},
					restartOnly: {result: needsRestart, serves: newOne, message: "listen_backlog"},
					deleted:     {result: rejected},
					mixed:       {result: rejected, serves: newOne, message: "pool_mode"},
				},
			},
			{
				name: "include in a nested folder", text: include, shows: setting("default_pool_size"),
				bad: broken(include, "nonsense here"), restart: broken(include, "unix_socket_mode = 0700"),
				cells: map[editKind]want{
					good:        {result: proven, proof: "console"},
					bad:         {result: rejected, message: "more.ini line 3"},
					restartOnly: {result: needsRestart, serves: newOne, message: "unix_socket_mode"},
					deleted:     {result: rejected, message: "more.ini"},
					mixed:       {result: rejected, main: oldOne},
				},
			},
			{
				name: "user list", text: users, shows: letsIn(""), bad: broken(users, "nonsense here"),
				cells: map[editKind]want{
					good: {result: unproven, message: "does not show"}, bad: {result: rejected, message: "users.txt line 3"},
					restartOnly: every, deleted: {result: rejected}, mixed: {result: rejected, main: oldOne},
				},
			},
			{
				name: "access rules", text: hba, shows: letsIn("h"), bad: broken(hba, "nonsense here"),
				cells: map[editKind]want{
					good: {result: unproven, message: "does not show"}, bad: {result: rejected, message: "hba.conf line 4"},
					restartOnly: every, deleted: {result: rejected}, mixed: {result: rejected, main: oldOne},
				},
			},
			{
				name: "certificate and key", text: certFiles("tls.crt", "tls.key"), shows: starttls, bad: mismatched("tls.crt", "tls.key"),
				cells: map[editKind]want{
					good: {result: proven, proof: "console"}, bad: {result: rejected, message: "private key does not match"},
					restartOnly: not("a certificate is re-read"),
					deleted:     {result: rejected, message: "no certificate"}, mixed: {result: rejected, main: oldOne},
				},
			},
		},
	}
}
