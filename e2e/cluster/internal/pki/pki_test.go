package pki

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestCertificatesSayWhoAndWhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	authority, err := NewAuthority(dir, "ca")
	if err != nil {
		t.Fatal(err)
	}
	if err := authority.Issue(dir, "server", Subject{User: "kube-apiserver", Hosts: []string{"kubernetes.default", "10.96.0.1"}}); err != nil {
		t.Fatal(err)
	}
	if err := authority.Issue(dir, "admin", Subject{User: "admin", Groups: []string{"system:masters"}}); err != nil {
		t.Fatal(err)
	}

	server := verify(t, dir, "server", x509.ExtKeyUsageServerAuth)
	for _, host := range []string{"kubernetes.default", "10.96.0.1"} {
		if err := server.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if err := server.VerifyHostname("127.0.0.1"); err == nil {
		t.Error("the certificate is valid for a host that was not asked for")
	}
	admin := verify(t, dir, "admin", x509.ExtKeyUsageClientAuth)
	if admin.Subject.CommonName != "admin" || !slices.Equal(admin.Subject.Organization, []string{"system:masters"}) {
		t.Errorf("admin is %v", admin.Subject)
	}
	if slices.Contains(admin.ExtKeyUsage, x509.ExtKeyUsageServerAuth) {
		t.Error("a client's certificate is good for a server")
	}
}

func TestWhatIsThereStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	makeAll := func() map[string]string {
		authority, err := NewAuthority(dir, "ca")
		if err != nil {
			t.Fatal(err)
		}
		if err := authority.Issue(dir, "admin", Subject{User: "admin"}); err != nil {
			t.Fatal(err)
		}
		if err := KeyPair(dir, "service-account"); err != nil {
			t.Fatal(err)
		}
		content := map[string]string{}
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			bytes, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			content[filepath.Base(file)] = string(bytes)
		}
		return content
	}
	first, second := makeAll(), makeAll()
	if len(first) != 6 {
		t.Errorf("made %d files, want 6", len(first))
	}
	for name, content := range first {
		if second[name] != content {
			t.Errorf("%s was recreated", name)
		}
	}
	// Killed between the two files of a pair: the certificate comes last.
	if err := os.Remove(filepath.Join(dir, "admin.crt")); err != nil {
		t.Fatal(err)
	}
	makeAll()
	verify(t, dir, "admin", x509.ExtKeyUsageClientAuth)
}

func TestKeysAreForTheirOwnerOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := NewAuthority(dir, "ca"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("ca.key has mode %v", info.Mode())
	}
}

func verify(t *testing.T, dir, name string, usage x509.ExtKeyUsage) *x509.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	authority, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	return pair.Leaf
}
