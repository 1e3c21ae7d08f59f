//go:build presets

package presets

import (
	"fmt"
	"strconv"
	"strings"
)

func postgresApp() app {
	s := postgres()
	s.argv = func(e env) []string {
		return []string{postgresBin(), "-D", e.data + "/db", "--config-file=" + e.conf + "/postgresql.conf"}
	}
	ask := func(e env, query string) (string, error) {
		out, err := output("psql", "-X", "-h", e.data, "-p", strconv.Itoa(e.port), "-U", "postgres", "-tAc", query)
		return versionIn(out), err
	}
	conf := func(e env, v string) map[string]string {
		return map[string]string{"postgresql.conf": fmt.Sprintf(`listen_addresses = '127.0.0.1'
port = %[1]d
unix_socket_directories = '%[2]s'
data_directory = '%[2]s/db'
hba_file = '%[3]s/pg_hba.conf'
ident_file = '%[3]s/pg_ident.conf'
ssl = on
ssl_cert_file = '%[3]s/tls.crt'
ssl_key_file = '%[3]s/tls.key'
inpod.version = 'inpod-%[4]s'
include_dir = '%[3]s/conf.d/deep'
`, e.port, e.data, e.conf, v)}
	}
	include := func(_ env, v string) map[string]string {
		return map[string]string{"conf.d/deep/more.conf": "inpod.more = 'inpod-" + v + "'\n"}
	}
	// What stands in the last entry is asked of the postmaster by its effect: one version lets a role in, the other not.
	hba := func(_ env, v string) map[string]string {
		return map[string]string{"pg_hba.conf": "local all v1,v2 peer map=inpod\nlocal all postgres trust\nhost all postgres 127.0.0.1/32 trust\nhost all " + v + " 127.0.0.1/32 trust\n"}
	}
	ident := func(_ env, v string) map[string]string {
		return map[string]string{"pg_ident.conf": "inpod root " + v + "\n"}
	}
	// Neither role exists. A role that is let in is refused in other words than one that is not.
	letsIn := func(host func(env) string) func(env) (string, error) {
		return func(e env) (string, error) {
			for _, v := range []string{"v1", "v2"} {
				out, _ := output("psql", "-X", "-h", host(e), "-p", strconv.Itoa(e.port), "-U", v, "-tAc", "SELECT 1", "postgres")
				if strings.Contains(out, "role \""+v+"\" does not exist") {
					return v, nil
				}
			}
			return "", nil
		}
	}
	s.files, s.bad = conf, nil
	return app{
		server: s, version: []string{postgresBin(), "--version"},
		kinds: []fileKind{
			{
				name: "main", text: conf, shows: func(e env) (string, error) { return ask(e, "SHOW inpod.version") },
				bad: broken(conf, "work_mem = nonsense"), restart: broken(conf, "max_connections = 37"),
				cells: map[editKind]want{
					good:        {result: proven, proof: "views"},
					bad:         {result: rejected},
					restartOnly: {result: needsRestart, serves: newOne, message: "max_connections"},
					deleted:     {result: rejected},
					mixed:       {result: rejected},
				},
			},
			{
				name: "include in a nested folder", text: include, shows: func(e env) (string, error) { return ask(e, "SHOW inpod.more") },
				bad: broken(include, "work_mem = nonsense"), restart: broken(include, "shared_buffers = '1MB'"),
				cells: map[editKind]want{
					good:        {result: proven, proof: "views"},
					bad:         {result: rejected},
					restartOnly: {result: needsRestart, serves: newOne, message: "shared_buffers"},
					deleted:     {result: rejected}, // the folder is gone with its last file
					mixed:       {result: rejected, main: oldOne},
				},
			},
			{
				name: "pg_hba.conf", text: hba,
				shows: letsIn(func(env) string { return "127.0.0.1" }),
				bad:   broken(hba, "host all nonsense"),
				cells: map[editKind]want{
					good:        {result: proven, proof: "views"},
					bad:         {result: rejected, message: "pg_hba.conf line 6"},
					restartOnly: not("every entry is re-read"),
					deleted:     {result: rejected, message: "could not open"},
					mixed:       {result: rejected, main: oldOne},
				},
			},
			{
				name: "pg_ident.conf", text: ident,
				shows: letsIn(func(e env) string { return e.data }),
				bad:   broken(ident, "only two"),
				cells: map[editKind]want{
					good:        {result: proven, proof: "views"},
					bad:         {result: rejected, message: "pg_ident.conf"},
					restartOnly: not("every entry is re-read"),
					deleted:     {result: rejected, message: "could not open"},
					mixed:       {result: rejected, main: oldOne},
				},
			},
			{
				name: "certificate and key", text: certFiles("tls.crt", "tls.key"), shows: starttls, bad: mismatched("tls.crt", "tls.key"),
				cells: map[editKind]want{
					good:        {result: proven, proof: "views"},
					bad:         {result: rejected, message: "private key does not match"},
					restartOnly: not("a certificate is re-read"),
					deleted:     {result: rejected, message: "no certificate"},
					mixed:       {result: rejected, main: oldOne},
				},
			},
		},
	}
}
