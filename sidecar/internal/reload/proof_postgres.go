package reload

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"inpod.dev/inpod/internal/pgwire"
	"inpod.dev/inpod/internal/preset"
	"inpod.dev/inpod/sidecar/internal/agent"
)

// postgres asks PostgreSQL itself: which files it reads, what is wrong in them, what waits for a restart, and which
// certificate it shows. Views read the files as they are now; pg_conf_load_time moves when the postmaster has read them.
//
// A server that starts with the wrong files cannot be asked, and one that wants a password is not.
type postgres struct {
	server
	at         []pgwire.Address
	user       string
	superuser  bool
	loaded     string
	setting    map[string]string
	sources    map[string]bool
	unasked    error
	identShown bool
}

// postmaster.pid has one fact a line.
const (
	pidPort    = 3
	pidSocket  = 4
	pidAddress = 5
)

// find reads where the server listens from the file that it keeps in its data directory, which is where it works.
func (p *postgres) find() error {
	text, err := os.ReadFile(filepath.Join(p.dir, "cwd", "postmaster.pid"))
	if err != nil {
		return fmt.Errorf("where it listens is not to be seen: %w", err)
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) <= pidAddress {
		return errors.New("postmaster.pid does not say where it listens")
	}
	port := strings.TrimSpace(lines[pidPort])
	if dir := strings.TrimSpace(lines[pidSocket]); dir != "" {
		p.at = append(p.at, pgwire.Address{Network: "unix", Address: p.see(filepath.Join(dir, ".s.PGSQL."+port))})
	}
	if host := strings.TrimSpace(lines[pidAddress]); host != "" {
		if host == "*" || host == "0.0.0.0" || host == "::" {
			host = "127.0.0.1"
		}
		p.at = append(p.at, pgwire.Address{Network: "tcp", Address: net.JoinHostPort(host, port)})
	}
	return nil
}

// ask connects again for each time: a connection sees the settings of the moment when it was made.
func (p *postgres) ask(ctx context.Context, questions func(*pgwire.Conn) error) error {
	err := errors.New("it listens nowhere")
	for _, at := range p.at {
		var c *pgwire.Conn
		if c, err = p.dial(ctx, at); err == nil {
			err = questions(c)
			c.Close()
			return err
		}
	}
	return err
}

// dial connects as a role that needs no password: the usual superuser, or the one that the official image was given.
func (p *postgres) dial(ctx context.Context, at pgwire.Address) (*pgwire.Conn, error) {
	roles := []string{"postgres"}
	if other := p.environment("POSTGRES_USER"); other != "" {
		roles = []string{other, "postgres"}
	}
	if p.user != "" {
		roles = []string{p.user}
	}
	var err error
	for _, role := range roles {
		var c *pgwire.Conn
		if c, err = pgwire.Dial(ctx, at, role, "postgres"); err == nil {
			p.user = role
			return c, nil
		}
	}
	return nil, err
}

func (p *postgres) before(ctx context.Context) (out agent.Outcome, done bool) {
	if p.unasked = p.find(); p.unasked != nil {
		return agent.Outcome{}, false
	}
	p.unasked = p.ask(ctx, func(c *pgwire.Conn) error {
		if err := p.learn(c); err != nil {
			return err
		}
		faults, err := p.faults(c)
		for _, f := range faults {
			if f.context != "postmaster" { // which may be good, and wait for a restart
				out, done = refuse(preset.ProofPostgres, theirs(f.String())), true
				return err
			}
		}
		return err
	})
	if cert, key, concerned := p.pair(); concerned && !done {
		if err := p.pairFault(cert, key); err != nil {
			return refuse("certificate and key", theirs(err.Error())), true
		}
	}
	return out, done
}

// learn notes how things are before the trigger.
func (p *postgres) learn(c *pgwire.Conn) error {
	const about = `SELECT name, setting FROM pg_catalog.pg_settings WHERE name IN ('ssl', 'ssl_cert_file', 'ssl_key_file', ` +
		`'hba_file', 'ident_file', 'data_directory', 'config_file') ` +
		`UNION ALL SELECT 'loaded', pg_catalog.pg_conf_load_time()::text ` +
		`UNION ALL SELECT 'superuser', pg_catalog.current_setting('is_superuser')`
	rows, err := c.Query(about)
	if err != nil {
		return err
	}
	p.setting, p.sources = map[string]string{}, map[string]bool{}
	for _, row := range rows {
		if len(row) == 2 {
			p.setting[row[0]] = row[1]
		}
	}
	p.loaded, p.superuser = p.setting["loaded"], p.setting["superuser"] == "on"
	return p.learnSources(c, `SELECT DISTINCT sourcefile FROM pg_catalog.pg_settings WHERE sourcefile IS NOT NULL`)
}

func (p *postgres) learnSources(c *pgwire.Conn, query string) error {
	rows, err := c.Query(query)
	for _, row := range rows {
		if len(row) > 0 {
			p.sources[filepath.Clean(row[0])] = true
		}
	}
	return err
}

// fault is something in a file that the server does not take.
type fault struct{ context, name, file, line, words string }

func (f fault) String() string {
	where := f.file
	if f.line != "" {
		where += " line " + f.line
	}
	if f.name != "" {
		where += ", " + f.name
	}
	return strings.TrimPrefix(where+": "+f.words, ": ")
}

// faults are those of watched files. Whoever is no superuser is shown none.
func (p *postgres) faults(c *pgwire.Conn) ([]fault, error) {
	if !p.superuser {
		return nil, nil
	}
	rows, err := c.Query(`SELECT s.context, f.name, f.sourcefile, f.sourceline, f.error FROM pg_catalog.pg_file_settings f ` +
		`LEFT JOIN pg_catalog.pg_settings s ON lower(s.name) = lower(f.name) WHERE f.error IS NOT NULL ORDER BY f.seqno`)
	if err != nil {
		return nil, err
	}
	var all []fault
	for _, row := range rows {
		if len(row) == 5 && (row[2] == "" || p.isWatched(row[2])) {
			all = append(all, fault{row[0], row[1], row[2], row[3], row[4]})
		}
	}
	hba, _ := p.table(c, p.setting["hba_file"], "pg_hba_file_rules")
	ident, shown := p.table(c, p.setting["ident_file"], "pg_ident_file_mappings")
	p.identShown = shown
	return append(append(all, hba...), ident...), nil
}

// table are the faults of a file that the server has a view of, and whether it has one.
func (p *postgres) table(c *pgwire.Conn, file, view string) (faults []fault, shown bool) {
	const noSuchTable = "42P01" // pg_ident_file_mappings came with version 15
	rows, err := c.Query("SELECT line_number, error FROM pg_catalog." + view + " WHERE error IS NOT NULL")
	var said *pgwire.ServerError
	switch {
	case errors.As(err, &said) && said.Code == noSuchTable:
		return nil, false
	case !p.isWatched(file):
		return nil, true
	case said != nil:
		return []fault{{file: file, words: said.Message}}, true
	}
	for _, row := range rows {
		if len(row) == 2 {
			faults = append(faults, fault{file: file, line: row[0], words: row[1]})
		}
	}
	return faults, err == nil
}

func (p *postgres) after(ctx context.Context) finding {
	proof := string(preset.ProofPostgres)
	if p.unasked != nil {
		return unproven(string(preset.ProofAlive), "PostgreSQL could not be asked: "+theirs(p.unasked.Error()))
	}
	found := finding{}
	err := p.ask(ctx, func(c *pgwire.Conn) error {
		rows, err := c.Query("SELECT pg_catalog.pg_conf_load_time()::text")
		if err != nil {
			return err
		}
		faults, err := p.faults(c)
		if err != nil {
			return err
		}
		moved := len(rows) == 1 && len(rows[0]) == 1 && rows[0][0] != p.loaded
		if !moved && (len(faults) == 0 || faults[0].context == "postmaster") {
			return nil // the signal is still under way
		}
		found, err = p.judge(c, faults)
		return err
	})
	if err != nil || found.verdict == wait {
		return finding{} // it may answer the next time
	}
	if found.result == agent.Applied {
		found = p.certificate(ctx, found)
	}
	found.proof = proof
	return found
}

// judge says what the server made of its files.
func (p *postgres) judge(c *pgwire.Conn, faults []fault) (finding, error) {
	waiting, err := p.waiting(c)
	if err != nil {
		return finding{}, err
	}
	for _, f := range faults {
		if !contains(waiting, f.name) {
			return finding{verdict: no, result: agent.Rejected, message: theirs(f.String())}, nil
		}
	}
	if len(waiting) > 0 {
		return finding{verdict: no, result: agent.NeedsRestart, message: "these parameters wait for a restart: " + theirs(strings.Join(waiting, ", "))}, nil
	}
	if p.superuser {
		if err := p.learnSources(c, `SELECT DISTINCT sourcefile FROM pg_catalog.pg_file_settings WHERE sourcefile IS NOT NULL`); err != nil {
			return finding{}, err
		}
	}
	return p.covered(), nil
}

// waiting are the parameters that wait for a restart because of a watched file. pending_restart alone also stays for a
// value that was taken out of the file again, until the server starts.
func (p *postgres) waiting(c *pgwire.Conn) ([]string, error) {
	query := `SELECT name, '' FROM pg_catalog.pg_settings WHERE pending_restart`
	if p.superuser {
		query = `SELECT s.name, (SELECT f.sourcefile FROM pg_catalog.pg_file_settings f WHERE lower(f.name) = lower(s.name) ` +
			`ORDER BY f.seqno DESC LIMIT 1) AS file FROM pg_catalog.pg_settings s WHERE s.pending_restart AND (` +
			`EXISTS (SELECT 1 FROM pg_catalog.pg_file_settings f WHERE lower(f.name) = lower(s.name) AND f.error IS NOT NULL) OR ` +
			`NOT EXISTS (SELECT 1 FROM pg_catalog.pg_file_settings f WHERE lower(f.name) = lower(s.name)) AND s.setting IS DISTINCT FROM s.boot_val)`
	}
	rows, err := c.Query(query)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, row := range rows {
		if len(row) == 2 && (row[1] == "" || p.isWatched(row[1])) {
			names = append(names, row[0])
		}
	}
	return names, nil
}

// covered reports whether the server was asked about each file that differs.
func (p *postgres) covered() finding {
	good := finding{verdict: yes, result: agent.Applied, proven: true}
	if !p.superuser {
		return unproven("", "role "+theirs(p.user)+" is no superuser, so PostgreSQL does not show it what is wrong in its files")
	}
	for _, file := range p.differing() {
		switch {
		case p.sources[file], file == p.setting["hba_file"], file == p.setting["ident_file"] && p.identShown:
		case file == p.path("ssl_cert_file"), file == p.path("ssl_key_file"): // the next question
		default:
			return unproven("", "PostgreSQL does not say whether it reads "+theirs(file))
		}
	}
	return good
}

// path is a setting that names a file, which may be relative to the data directory.
func (p *postgres) path(name string) string {
	file := p.setting[name]
	if file != "" && !filepath.IsAbs(file) {
		file = filepath.Join(p.setting["data_directory"], file)
	}
	return filepath.Clean(file)
}

// pair is the certificate and its key, and whether they are in use and one of them has changed.
func (p *postgres) pair() (cert, key string, concerned bool) {
	cert, key = p.path("ssl_cert_file"), p.path("ssl_key_file")
	return cert, key, p.setting["ssl"] == "on" && (p.changed(cert) || p.changed(key))
}

// certificate holds the certificate that the server shows against the file. PostgreSQL keeps the old one, with a line in
// its log, when the new one and its key do not belong together.
func (p *postgres) certificate(ctx context.Context, found finding) finding {
	cert, _, concerned := p.pair()
	if !concerned {
		return found
	}
	text, err := p.read(cert)
	block, _ := pem.Decode(text)
	if err != nil || block == nil {
		return finding{verdict: no, result: agent.Rejected, message: "no certificate can be read from " + theirs(cert)}
	}
	var shown []byte
	err = errors.New("it listens on no address but its socket, where there is no TLS")
	for _, at := range p.at {
		if at.Network == "tcp" {
			shown, err = pgwire.Leaf(ctx, at)
		}
	}
	switch {
	case err != nil:
		return unproven("", "PostgreSQL shows no certificate: "+theirs(err.Error()))
	case bytes.Equal(shown, block.Bytes):
		return found
	}
	return finding{verdict: no, result: agent.Rejected, message: "PostgreSQL still shows the old certificate, not that of " + theirs(cert)}
}

func contains(list []string, name string) bool {
	for _, one := range list {
		if strings.EqualFold(one, name) {
			return true
		}
	}
	return false
}
