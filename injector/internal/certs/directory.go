package certs

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// pollInterval is the time between two polls of the directory. The kubelet takes a minute to bring a new certificate,
// and its issuer does so long before the old one expires: there is no need to watch.
const pollInterval = 10 * time.Second

// Directory serves what another program writes into a directory: tls.crt and tls.key, as in a mounted Secret of
// cert-manager.
type Directory struct {
	Path   string
	Served *Served
	Log    *slog.Logger
}

// Run re-reads the directory until ctx ends. A pair that cannot be used is logged, and the last good one is served on.
func (d Directory) Run(ctx context.Context) {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	trouble := ""
	for {
		err := d.Load()
		if text := fmt.Sprint(err); err != nil && text != trouble {
			d.Log.Error("using the certificate failed, serving the last good one", "error", err)
			trouble = text
		} else if err == nil {
			trouble = ""
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Load takes the pair as it is now.
func (d Directory) Load() error {
	certText, err := os.ReadFile(filepath.Join(d.Path, keyLeafCert))
	if err != nil {
		return fmt.Errorf("read the certificate: %w", err)
	}
	keyText, err := os.ReadFile(filepath.Join(d.Path, keyLeafKey))
	if err != nil {
		return fmt.Errorf("read the key of the certificate: %w", err)
	}
	changed, err := d.Served.set(certText, keyText)
	if err != nil {
		return fmt.Errorf("%s in %s: %w", keyLeafCert, d.Path, err)
	}
	if changed {
		d.Log.Info("serving certificate", "from", d.Path, "expires", d.Served.Leaf().NotAfter)
	}
	return nil
}
