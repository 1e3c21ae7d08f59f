package reload

import (
	"bufio"
	"encoding/binary"
	"io"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"inpod.dev/inpod/internal/preset"
	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/process"
)

// speaksPostgres answers every question on a Unix socket: with rows, or with an error.
func speaksPostgres(t *testing.T, socket string, greeting string, answer func(question string) (rows [][]string, fault string)) {
	t.Helper()
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go speakPostgres(conn, greeting, answer)
		}
	}()
}

func speakPostgres(conn net.Conn, greeting string, answer func(string) ([][]string, string)) {
	defer func() { _ = conn.Close() }()
	send := func(kind byte, body []byte) {
		head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4))
		_, _ = conn.Write(append(head, body...))
	}
	fault := func(words string) { send('E', []byte("C42601\x00M"+words+"\x00\x00")) }
	in := bufio.NewReader(conn)
	receive := func(head int) (string, error) {
		start := make([]byte, head)
		if _, err := io.ReadFull(in, start); err != nil {
			return "", err
		}
		body := make([]byte, binary.BigEndian.Uint32(start[head-4:])-4)
		_, err := io.ReadFull(in, body)
		return string(body), err
	}
	if _, err := receive(4); err != nil {
		return
	}
	if greeting != "" {
		fault(greeting)
		return
	}
	send('R', make([]byte, 4))
	for {
		send('Z', []byte{'I'})
		question, err := receive(5)
		if err != nil {
			return
		}
		rows, words := answer(question)
		if words != "" {
			fault(words)
		}
		for _, row := range rows {
			body := binary.BigEndian.AppendUint16(nil, uint16(len(row)))
			for _, column := range row {
				body = append(binary.BigEndian.AppendUint32(body, uint32(len(column))), column...)
			}
			send('D', body)
		}
	}
}

// witnessOfSecret is a server whose files, or whose words about them, hold a value.
type witnessOfSecret func(t *testing.T, dir, value string, r *Reloader) witness

func postgresThat(greeting func(string) string, answer func(value, question string) ([][]string, string)) witnessOfSecret {
	return func(t *testing.T, dir, value string, r *Reloader) witness {
		t.Helper()
		words := ""
		if greeting != nil {
			words = greeting(value)
		}
		speaksPostgres(t, filepath.Join(dir, ".s.PGSQL.5432"), words, func(question string) ([][]string, string) {
			if strings.Contains(question, "AS file FROM") || strings.Contains(question, "pg_conf_load_time") && !strings.Contains(question, "UNION") {
				return nil, ""
			}
			if strings.Contains(question, "UNION") {
				return [][]string{{"superuser", "on"}, {"hba_file", dir + "/token"}}, ""
			}
			return answer(value, question)
		})
		write(t, dir+"/proc/7/cwd/postmaster.pid", "1\n/data\n2\n5432\n"+dir+"\n\n")
		return &postgres{server: r.server(&process.Process{PID: 7}, agent.Change{Files: []string{dir + "/token"}})}
	}
}

func pgbouncerThat(ini func(value string) string, greeting func(string) string) witnessOfSecret {
	return func(t *testing.T, dir, value string, r *Reloader) witness {
		t.Helper()
		words := ""
		if greeting != nil {
			words = greeting(value)
		}
		speaksPostgres(t, filepath.Join(dir, ".s.PGSQL.6432"), words, func(string) ([][]string, string) { return nil, "" })
		write(t, dir+"/token", strings.ReplaceAll(ini(value), "DIR", dir))
		s := r.server(&process.Process{PID: 7, Args: []string{"pgbouncer", dir + "/token"}}, agent.Change{Files: []string{dir + "/token"}})
		return &pgbouncer{server: s, workDir: dir, main: dir + "/token", wrongAnswers: answersUntilSettled}
	}
}

// witnessesOfSecrets has everything in it that is made by chance: which code that runs through would be news to a fuzz test each
// time, and it would try to make a shorter value of each of them.
func witnessesOfSecrets(t testing.TB) map[string]witnessOfSecret {
	t.Helper()
	key := newPair(t)[1]
	inQuotes := func(value string) string { return `invalid authentication method "` + value + `"` }
	return map[string]witnessOfSecret{
		"PostgreSQL quotes a line of its rules": postgresThat(nil, func(value, question string) ([][]string, string) {
			if strings.Contains(question, "pg_hba_file_rules") {
				return [][]string{{"1", inQuotes(value)}}, ""
			}
			return nil, ""
		}),
		"PostgreSQL names a setting that it does not know": postgresThat(nil, func(value, question string) ([][]string, string) {
			if strings.Contains(question, "pg_file_settings") {
				return [][]string{{"sighup", value, "", "1", "unrecognized configuration parameter"}}, ""
			}
			return nil, ""
		}),
		"PostgreSQL refuses the question": postgresThat(nil, func(value, _ string) ([][]string, string) { return nil, inQuotes(value) }),
		"PostgreSQL refuses the caller":   postgresThat(inQuotes, func(string, string) ([][]string, string) { return nil, "" }),
		"pgbouncer does not know a setting": pgbouncerThat(func(value string) string {
			return "[pgbouncer]\nunix_socket_dir=DIR\n" + value + "=1\n"
		}, nil),
		"pgbouncer does not have a database": pgbouncerThat(func(value string) string {
			return "[databases]\n" + value + " = host=a\n[pgbouncer]\nunix_socket_dir=DIR\n"
		}, nil),
		"pgbouncer's database has bad settings": pgbouncerThat(func(value string) string {
			return "[databases]\n" + value + " = host\n[pgbouncer]\nunix_socket_dir=DIR\n"
		}, nil),
		"pgbouncer includes what is not there": pgbouncerThat(func(value string) string { return "%include " + value + "\n" }, nil),
		"pgbouncer refuses the caller":         pgbouncerThat(func(value string) string { return "[pgbouncer]\nunix_socket_dir=DIR\nx=" + value }, inQuotes),
		"the broker's include is not there": func(t *testing.T, dir, value string, r *Reloader) witness {
			t.Helper()
			write(t, dir+"/token", "listener 1883\ncertfile "+dir+"/"+value+"\nkeyfile "+dir+"/"+value+"\n")
			s := r.server(&process.Process{PID: 7, Args: []string{"broker", "-c", dir + "/token"}}, agent.Change{Files: []string{dir + "/" + value}})
			return &broker{server: s}
		},
		"dnsmasq's option is a value": func(t *testing.T, dir, value string, r *Reloader) witness {
			t.Helper()
			write(t, dir+"/token", "conf-file="+value+"\n")
			s := r.server(&process.Process{PID: 7, Args: []string{"dnsmasq", "-C", dir + "/token"}}, agent.Change{Files: []string{dir + "/" + value}})
			return &dnsmasq{server: s}
		},
		"a certificate has a block of another name": func(t *testing.T, dir, value string, r *Reloader) witness {
			t.Helper()
			block := "-----BEGIN " + value + "-----\nAAAA\n-----END " + value + "-----\n"
			write(t, dir+"/a.crt", block)
			write(t, dir+"/a.key", key)
			return &bind{server: r.server(&process.Process{PID: 7}, agent.Change{Files: []string{dir + "/a.crt"}})}
		},
	}
}

// outcomeOf runs a witness as an attempt does.
func outcomeOf(t *testing.T, serve witnessOfSecret, value string) agent.Outcome {
	t.Helper()
	dir := secretDir(t)
	write(t, dir+"/password", value)
	r := &Reloader{Secrets: []string{dir}, Now: time.Now, Table: process.Table{Root: dir + "/proc"}}
	r.Plan.Row = preset.Preset{Name: "server", Proof: preset.Proof{Kind: preset.ProofAlive}}
	defer r.held.close()
	w := serve(t, dir, value, r)
	return r.shown(func() agent.Outcome {
		out, done := w.before(t.Context())
		if !done {
			out, _ = r.hear(t.Context(), &attempt{witness: w})
		}
		return out
	})
}

func shows(out agent.Outcome, value string) bool {
	return strings.Contains(out.Message+out.Proof+out.Trigger, value)
}

func TestNoWitnessShowsASecret(t *testing.T) {
	t.Parallel()
	const value = "hunter2hunter2secret"
	for name, serve := range witnessesOfSecrets(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := outcomeOf(t, serve, value)
			if shows(out, value) || out.Message == "" {
				t.Errorf("%+v", out)
			}
		})
	}
}

func TestNothingThatIsSaidOfTheConfigurationShowsASecret(t *testing.T) {
	t.Parallel()
	const value = "hunter2hunter2secret"
	for name, say := range map[string]func(t *testing.T, r *Reloader, dir string) string{
		"a file that it includes": func(t *testing.T, r *Reloader, dir string) string {
			t.Helper()
			write(t, dir+"/nginx.conf", "include "+value+";")
			return r.mentionsOf(process.Process{PID: 7, Args: []string{"nginx: master process nginx -c " + dir + "/nginx.conf"}}, nil).why.Error()
		},
		"a file that it begins with": func(t *testing.T, r *Reloader, dir string) string {
			t.Helper()
			return r.mentionsOf(process.Process{PID: 7, Args: []string{"nginx: master process nginx -c /" + value}}, nil).why.Error()
		},
		"an argument that is not known": func(t *testing.T, r *Reloader, dir string) string {
			t.Helper()
			_, err := r.arguments(process.Process{PID: 7, Args: []string{"nginx", value}})
			return err.Error()
		},
		"an option that a validator is not given": func(t *testing.T, r *Reloader, dir string) string {
			t.Helper()
			_, err := r.options(process.Process{PID: 7, Args: []string{"nginx", "--" + value}})
			return err.Error()
		},
		"a block of a certificate": func(t *testing.T, r *Reloader, dir string) string {
			t.Helper()
			pair := newPair(t)
			write(t, dir+"/tls.crt", "-----BEGIN "+value+"-----\nAAAA\n-----END "+value+"-----\n-----BEGIN CERTIFICATE-----\n")
			write(t, dir+"/tls.key", pair[1])
			r.Plan.Row.Guard = true
			c := &changedFiles{reloader: r, change: agent.Change{Files: []string{dir + "/tls.crt"}}}
			out, _ := c.guard()
			return out.Message
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := secretDir(t)
			write(t, dir+"/password", value)
			row, err := preset.ByName("nginx")
			if err != nil {
				t.Fatal(err)
			}
			r := &Reloader{Secrets: []string{dir}, Plan: Plan{Row: row}, Now: time.Now, Table: process.Table{Root: dir + "/proc"}}
			if said := r.scrub(say(t, r, dir)); said == "" || strings.Contains(said, value) {
				t.Errorf("%q shows the value, or nothing", said)
			}
		})
	}
}

// Each execution is one attempt at one witness with whatever value the input makes. What the fuzz test does to make an interesting
// input shorter is not among the executions that it counts, and takes up to a minute for each: give it -fuzzminimizetime 100x, as
// make fuzz does.
func FuzzNoWitnessShowsASecret(f *testing.F) {
	witnesses := witnessesOfSecrets(f)
	names := slices.Sorted(maps.Keys(witnesses))
	for i := range names {
		f.Add([]byte("hunter2hunter2secret"), uint8(i))
		f.Add([]byte("c2VjcmV0cGFzc3dvcmQ"), uint8(i))
	}
	f.Fuzz(func(t *testing.T, input []byte, which uint8) {
		name := names[int(which)%len(names)]
		value := plain(input)
		if out := outcomeOf(t, witnesses[name], value); shows(out, value) {
			t.Errorf("%s: %q is shown: %+v", name, value, out)
		}
	})
}

// plain makes a value of an input that stands in a line of any configuration as it is.
func plain(input []byte) string {
	const least, most, letters = 12, 60, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	value := []byte("a")
	for _, c := range input[:min(len(input), most)] {
		if !strings.ContainsRune(letters, rune(c)) {
			c = letters[int(c)%len(letters)]
		}
		value = append(value, c)
	}
	for i := 0; len(value) < least; i++ {
		value = append(value, letters[i])
	}
	return string(value)
}
