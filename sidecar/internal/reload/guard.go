package reload

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"inpod.dev/inpod/internal/preset"
	"inpod.dev/inpod/sidecar/internal/agent"
)

// guard finds what validators do not, and what ends a server: a certificate that is not of its key, a file that is gone,
// a working directory that is gone. done means that nothing may be sent.
func (c *changedFiles) guard() (out agent.Outcome, done bool) {
	if c == nil {
		return agent.Outcome{}, false
	}
	row := c.reloader.Plan.Row
	if row.NeedsDirectory && c.target != nil && strings.HasSuffix(c.reloader.Table.Directory(*c.target), " (deleted)") {
		return agent.Outcome{Result: agent.NeedsRestart, Final: true, Message: fmt.Sprintf("the working directory of %s "+
			"was replaced by the kubelet, and it would end when it looks for it; nothing was sent", c.who())}, true
	}
	if !row.MustValidate && !row.Guard {
		return agent.Outcome{}, false
	}
	for _, file := range c.change.Files {
		_, err := os.Stat(file)
		if row.Guard && os.IsNotExist(err) && c.needed(file) {
			return guarded(c.who(), theirs(file)+" is gone, and its configuration needs it"), true
		}
		if fault := pairFaultOf(file); fault != "" {
			return guarded(c.who(), theirs(fault)), true
		}
	}
	return agent.Outcome{}, false
}

// needed reports whether a server that reads its files again would miss one, because its configuration names it. Of a server
// whose configuration is sent to it, certificates and keys are the files that it does not miss in words.
func (c *changedFiles) needed(file string) bool {
	if c.reloader.Plan.Row.BodyFrom != "" {
		return slices.Contains([]string{".crt", ".key", ".pem"}, filepath.Ext(file)) && c.sent(file)
	}
	if c.named == nil {
		return false // its process cannot be seen, as where a URL or a command reaches it: nobody knows what it names
	}
	rule, ok := c.rule(file)
	return len(c.named.by[file]) > 0 && (!ok || rule.Effect != preset.AtUse)
}

// sent reports whether the configuration that is sent names a file, by its path or its name.
func (c *changedFiles) sent(file string) bool {
	plan := c.reloader.Plan
	if plan.URL == nil || plan.URL.BodyFile == "" {
		return false
	}
	const most = 1 << 20
	body, err := os.Open(plan.URL.BodyFile)
	if err != nil {
		return false // the request fails, and says why
	}
	defer func() { _ = body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(body, most))
	between := func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("\"'`{}[](),", r) }
	for word := range strings.FieldsFuncSeq(string(text), between) {
		if filepath.Base(word) == filepath.Base(file) && (!filepath.IsAbs(word) || filepath.Clean(word) == file) {
			return true
		}
	}
	return false
}

func guarded(who string, fault sentence) agent.Outcome {
	return agent.Outcome{
		Result: agent.Rejected, Proof: "files looked at",
		Message: fmt.Sprintf("%s; nothing was sent, since %s does not refuse that by itself", fault, who),
	}
}

// pairFaultOf is what is wrong with a certificate and the key beside it, "" when nothing is, or nothing is known: both in
// one file, or in files of one name but for the ending, as in a TLS Secret. Beside them may be chains and bundles, so one
// certificate that is of the key is enough.
func pairFaultOf(file string) string {
	text := readPEM(file)
	if text == nil {
		return ""
	}
	if hasCert(text) && hasKey(text) {
		return mismatch(file, file, text, text)
	}
	certs, keys := matesOf(file)
	if hasKey(text) {
		keys = map[string][]byte{file: text}
	}
	isCert, isKey := slices.Contains(certEndings(), filepath.Ext(file)), filepath.Ext(file) == ".key"
	switch {
	case !isCert && !hasKey(text) && !isKey:
		return ""
	case isKey && len(certs) > 0 && !bytes.Contains(text, []byte("PRIVATE KEY")):
		return file + " holds no key"
	case isCert && filepath.Ext(file) != ".pem" && !hasCert(text) && len(keys) > 0 && len(certs) == 0:
		return file + " holds no certificate"
	}
	return noneFits(certs, keys)
}

// certEndings are those of certificates that a server shows, the likeliest first.
func certEndings() []string { return []string{".crt", ".cert", ".cer", ".pem"} }

// mate is a certificate beside a key.
type mate struct {
	file string
	text []byte
}

// matesOf are the certificates and the keys that have the name of a file but for the ending.
func matesOf(file string) (certs []mate, keys map[string][]byte) {
	stem := strings.TrimSuffix(file, filepath.Ext(file))
	keys = map[string][]byte{}
	files, _ := filepath.Glob(escaped(stem) + ".*")
	for _, each := range files {
		if strings.TrimSuffix(each, filepath.Ext(each)) != stem {
			continue
		}
		if text := readPEM(each); hasKey(text) && !hasCert(text) {
			keys[each] = text
		}
	}
	for _, ending := range certEndings() {
		if text := readPEM(stem + ending); hasCert(text) && !hasKey(text) {
			certs = append(certs, mate{stem + ending, text})
		}
	}
	return certs, keys
}

// noneFits is why no certificate is of any key. A chain, which begins with the certificate of an authority, is not meant to
// be.
func noneFits(certs []mate, keys map[string][]byte) string {
	fault := ""
	for _, cert := range certs {
		for key, text := range keys {
			why := mismatch(cert.file, key, cert.text, text)
			switch {
			case why == "":
				return ""
			case fault == "" && (filepath.Ext(cert.file) != ".pem" || !beginsWithCA(cert.text)):
				fault = why
			}
		}
	}
	return fault
}

func beginsWithCA(text []byte) bool {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			cert, err := x509.ParseCertificate(block.Bytes)
			return err == nil && cert.IsCA
		}
	}
	return false
}

// escaped is a path as a pattern that matches nothing else.
func escaped(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

func hasCert(text []byte) bool { return bytes.Contains(text, []byte("-----BEGIN CERTIFICATE-----")) }

// hasKey reports whether there is a key that can be read without a password.
func hasKey(text []byte) bool {
	return bytes.Contains(text, []byte("PRIVATE KEY-----")) && !bytes.Contains(text, []byte("ENCRYPTED"))
}

func mismatch(cert, key string, certText, keyText []byte) string {
	if _, err := tls.X509KeyPair(certText, keyText); err != nil {
		return fmt.Sprintf("certificate %s and key %s: %v", cert, key, err)
	}
	return ""
}

// readPEM reads a file that is small enough to be a certificate, nil when it is not.
func readPEM(file string) []byte {
	const most = 256 << 10
	f, err := os.Open(file) //nolint:gosec // a watched file
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > most {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return nil
	}
	return text
}
