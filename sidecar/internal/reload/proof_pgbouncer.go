package reload

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"inpod.dev/inpod/internal/pgwire"
	"inpod.dev/inpod/internal/preset"
	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/process"
)

// pgbouncer asks the admin console, which lets in the user that pgbouncer runs as through its Unix socket, and compares
// what it shows with the file. pgbouncer itself says nothing about a refused file but in its log, and keeps a part of it:
// what stands before the mistake.
type pgbouncer struct {
	server
	workDir, main string
	ini           iniFile
	at            pgwire.Address
	unasked       error
	wrongAnswers  int
}

// answersUntilSettled is how many questions in a row must find the same difference: the first may be answered before the
// signal is dealt with.
const answersUntilSettled = 4

func newPgbouncer(s server, table process.Table) *pgbouncer {
	p := &pgbouncer{server: s, workDir: table.Directory(s.Process)}
	for _, word := range slices.Backward(s.Words()) {
		if !strings.HasPrefix(word, "-") { // options come first, and the file last
			p.main = word
			break
		}
	}
	return p
}

func (p *pgbouncer) before(context.Context) (agent.Outcome, bool) {
	proof := preset.ProofPgbouncer
	if p.main == "" || p.workDir == "" && !filepath.IsAbs(p.main) {
		p.unasked = errors.New("which file it reads is not to be seen")
		return agent.Outcome{}, false
	}
	var err error
	if p.ini, err = readINI(p.read, p.workDir, p.main); err != nil {
		if !p.concerns(p.ini.files) {
			p.unasked = err
			return agent.Outcome{}, false
		}
		return refuse(proof, theirs(err.Error())), true
	}
	for name, text := range p.ini.sections["databases"] {
		if _, err := connectionSettings(text); err != nil {
			return refuse(proof, "database "+theirs(name)+": "+theirs(err.Error())), true
		}
	}
	for _, side := range []string{"client", "server"} {
		cert, key := p.file(side+"_tls_cert_file"), p.file(side+"_tls_key_file")
		if cert == "" || key == "" || !p.changed(cert) && !p.changed(key) {
			continue
		}
		if err := p.pairFault(cert, key); err != nil {
			return refuse("certificate and key", theirs(err.Error())), true
		}
	}
	for _, name := range []string{"auth_file", "auth_hba_file"} {
		if file := p.file(name); file != "" && p.changed(file) {
			if err := p.listFault(name, file); err != nil {
				return refuse("user list", theirs(err.Error())), true
			}
		}
	}
	socketDir, port := p.setting("unix_socket_dir", "/tmp"), p.setting("listen_port", "6432")
	if socketDir == "" {
		p.unasked = errors.New("unix_socket_dir is empty, so it lets nobody in without a password")
	}
	p.at = pgwire.Address{Network: "unix", Address: p.see(filepath.Join(socketDir, ".s.PGSQL."+port))}
	return agent.Outcome{}, false
}

// concerns reports whether one of these files is watched.
func (p *pgbouncer) concerns(files []string) bool { return slices.ContainsFunc(files, p.isWatched) }

func (p *pgbouncer) setting(name, without string) string {
	if value, ok := p.ini.sections["pgbouncer"][name]; ok {
		return value
	}
	return without
}

// file is a setting that names a file, "" without.
func (p *pgbouncer) file(name string) string {
	file := p.setting(name, "")
	if file != "" && !filepath.IsAbs(file) {
		file = filepath.Join(p.workDir, file)
	}
	return file
}

// listFault finds what pgbouncer refuses in a list: then it keeps the old one, and says so in its log only. A user list
// has lines of "name" "password"; of access rules only the first word counts.
func (p *pgbouncer) listFault(name, file string) error {
	text, err := p.read(file)
	if err != nil {
		return err
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == ';' || line[0] == '#' {
			continue
		}
		word, _, _ := strings.Cut(strings.ReplaceAll(line, "\t", " "), " ")
		rule := slices.Contains([]string{"local", "host", "hostssl", "hostnossl"}, word)
		user := line[0] == '"' && strings.Count(line, `"`) >= 4
		if name == "auth_file" && !user || name == "auth_hba_file" && !rule {
			return fmt.Errorf("%s line %d is not what pgbouncer reads there", file, n)
		}
	}
	return nil
}

func (p *pgbouncer) after(ctx context.Context) finding {
	if p.unasked != nil {
		return unproven(string(preset.ProofAlive), "pgbouncer could not be asked: "+theirs(p.unasked.Error()))
	}
	c, err := pgwire.Dial(ctx, p.at, "pgbouncer", "pgbouncer")
	if said, ok := errors.AsType[*pgwire.ServerError](err); ok {
		return unproven(string(preset.ProofAlive), "pgbouncer's console lets in only the user that it runs as: "+theirs(said.Message))
	}
	if err != nil {
		if p.wrongAnswers++; p.wrongAnswers < answersUntilSettled {
			return finding{}
		}
		return unproven(string(preset.ProofAlive), "pgbouncer could not be asked: "+theirs(err.Error()))
	}
	defer c.Close()
	found, err := p.judge(ctx, c)
	if err != nil {
		return finding{}
	}
	found.proof = string(preset.ProofPgbouncer)
	if found.result == agent.Applied && found.proven {
		return found
	}
	if p.wrongAnswers++; p.wrongAnswers < answersUntilSettled {
		return finding{}
	}
	return found
}

// judge compares what pgbouncer shows with its files.
func (p *pgbouncer) judge(ctx context.Context, c *pgwire.Conn) (finding, error) {
	config, err := c.Query("SHOW CONFIG")
	if err != nil {
		return finding{}, err
	}
	refused, waiting := p.compare(config)
	databases, err := c.Query("SHOW DATABASES")
	if err != nil {
		return finding{}, err
	}
	wrong, hidden := p.compareDatabases(databases)
	refused = append(refused, wrong...)
	switch {
	case len(refused) > 0:
		return finding{verdict: no, result: agent.Rejected, message: "pgbouncer does not use what its file says of " + theirs(strings.Join(refused, ", "))}, nil
	case len(waiting) > 0:
		return finding{verdict: no, result: agent.NeedsRestart, message: "these settings wait for a restart: " + theirs(strings.Join(waiting, ", "))}, nil
	}
	return p.covered(ctx, hidden), nil
}

// compare finds the settings of the file that are not in use, and those of them that only a start reads. The console's
// rows are name, value, default and whether it can change; before version 1.17 there was no default.
func (p *pgbouncer) compare(rows [][]string) (refused, waiting []string) {
	shown := map[string][]string{}
	for _, row := range rows {
		if len(row) >= 3 {
			shown[row[0]] = row
		}
	}
	settings := p.ini.sections["pgbouncer"]
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		row, known := shown[name]
		switch {
		case !known && name == "service_name": // another name of job_name
		case !known:
			refused = append(refused, name+" (which it does not know)")
		case sameSetting(settings[name], row[1]):
		case row[len(row)-1] == "no":
			waiting = append(waiting, name)
		default:
			refused = append(refused, name)
		}
	}
	return refused, waiting
}

// sameSetting compares a value as it stands in the file with one as it is shown: numbers may be written in several ways,
// and words in capitals.
func sameSetting(file, shown string) bool {
	if strings.EqualFold(file, shown) {
		return true
	}
	if a, err := strconv.ParseInt(file, 0, 64); err == nil {
		b, err := strconv.ParseInt(shown, 0, 64)
		return err == nil && a == b
	}
	a, err1 := strconv.ParseFloat(file, 64)
	b, err2 := strconv.ParseFloat(shown, 64)
	return err1 == nil && err2 == nil && a == b
}

// The columns of SHOW DATABASES that are the same in all versions.
const (
	columnName = iota
	columnHost
	columnPort
	columnDatabase
	columnUser
	columns
)

// compareDatabases finds the databases of the file that are not in use as it says, and the settings that are not shown.
func (p *pgbouncer) compareDatabases(rows [][]string) (wrong, hidden []string) {
	shown := map[string][]string{}
	for _, row := range rows {
		if len(row) >= columns {
			shown[row[columnName]] = row
		}
	}
	databases := p.ini.sections["databases"]
	for _, name := range slices.Sorted(maps.Keys(databases)) {
		if name == "*" {
			hidden = append(hidden, "database *")
			continue
		}
		row, ok := shown[name]
		if !ok {
			wrong = append(wrong, "database "+name)
			continue
		}
		settings, _ := connectionSettings(databases[name])
		for _, key := range slices.Sorted(maps.Keys(settings)) {
			column, isShown := map[string]int{"host": columnHost, "port": columnPort, "dbname": columnDatabase, "user": columnUser}[key]
			switch {
			case !isShown:
				hidden = append(hidden, key+" of database "+name)
			case row[column] != settings[key]:
				wrong = append(wrong, key+" of database "+name)
			}
		}
	}
	for name := range shown {
		if _, ok := databases[name]; !ok && name != "pgbouncer" && databases["*"] == "" {
			wrong = append(wrong, "database "+name+" (which is not there any more)")
		}
	}
	return wrong, hidden
}

// covered reports whether pgbouncer was asked about each file that differs.
func (p *pgbouncer) covered(ctx context.Context, hidden []string) finding {
	good := finding{verdict: yes, result: agent.Applied, proven: true}
	cert, key := p.file("client_tls_cert_file"), p.file("client_tls_key_file")
	for _, file := range p.differing() {
		switch {
		case slices.Contains(p.ini.files, file):
			if len(hidden) > 0 {
				good = unproven("", "pgbouncer does not show "+theirs(strings.Join(hidden, ", ")))
			}
		case file == cert || file == key:
			if found := p.certificate(ctx, cert); found.result != agent.Applied || !found.proven {
				return found
			}
		default:
			good = unproven("", "pgbouncer does not show what it has of "+theirs(file))
		}
	}
	return good
}

// certificate holds the certificate that clients are shown against the file.
func (p *pgbouncer) certificate(ctx context.Context, cert string) finding {
	text, err := p.read(cert)
	block, _ := pem.Decode(text)
	if err != nil || block == nil {
		return unproven("", "the certificate cannot be read")
	}
	host := p.setting("listen_addr", "")
	if host == "*" || host == "0.0.0.0" || host == "::" {
		host = "127.0.0.1"
	}
	host, _, _ = strings.Cut(host, ",")
	shown, err := pgwire.Leaf(ctx, pgwire.Address{Network: "tcp", Address: host + ":" + p.setting("listen_port", "6432")})
	switch {
	case err != nil:
		return unproven("", "pgbouncer shows no certificate: "+theirs(err.Error()))
	case !bytes.Equal(shown, block.Bytes):
		return finding{verdict: no, result: agent.Rejected, message: "pgbouncer still shows the old certificate, not that of " + theirs(cert)}
	}
	return finding{verdict: yes, result: agent.Applied, proven: true}
}
