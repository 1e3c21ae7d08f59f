package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"inpod.dev/inpod/internal/preset"
	"inpod.dev/inpod/internal/reloadspec"
	"inpod.dev/inpod/sidecar/internal/process"
	"inpod.dev/inpod/sidecar/internal/reload"
)

// Plan merges the preset and the settings into one plan; a setting wins over the preset.
func (c Config) Plan() (reload.Plan, error) {
	var row preset.Preset
	if c.Preset != "" {
		var err error
		if row, err = preset.ByName(c.Preset); err != nil {
			return reload.Plan{}, err
		}
		if row.Refusal != "" {
			return reload.Plan{}, fmt.Errorf("preset %s cannot reload: %s", row.Name, row.Refusal)
		}
	}
	if err := c.oneTrigger(); err != nil {
		return reload.Plan{}, err
	}
	plan := reload.Plan{
		Preset: row.Name, Row: row, Process: c.selector(row), DryRun: c.DryRun,
		VerifyTimeout: c.VerifyTimeout, CommandTimeout: c.CommandTimeout, RequireProof: c.RequireProof,
	}
	var err error
	if plan.Access, err = c.access(); err != nil {
		return reload.Plan{}, err
	}
	if len(c.Validate) > 0 {
		plan.Row.Validators, plan.Row.MustValidate = [][]string{c.Validate}, true
		if plan.Row.Name == "" {
			plan.Row.Name = "the validate-command exists because the application fails"
		}
	}
	if err := errors.Join(c.trigger(&plan), c.proof(&plan)); err != nil {
		return reload.Plan{}, err
	}
	return plan, nil
}

func (c Config) oneTrigger() error {
	var given []string
	for name, set := range map[string]bool{flagSignal: c.Signal != "", flagURL: c.URL != "", flagCommand: len(c.Command) > 0} {
		if set {
			given = append(given, "--"+name)
		}
	}
	slices.Sort(given)
	switch {
	case len(given) > 1:
		return fmt.Errorf("%s exclude each other", strings.Join(given, " and "))
	case len(given) == 0 && c.Preset == "":
		return fmt.Errorf("nothing says how to reload; give --%s, --%s, --%s or --%s", flagPreset, flagSignal, flagURL, flagCommand)
	}
	return nil
}

func (c Config) selector(row preset.Preset) process.Selector {
	s := process.Selector{Names: row.Processes, Cmdline: c.Cmdline, Container: c.Container}
	if c.Process != "" {
		s.Names = []string{c.Process}
	}
	return s
}

func (c Config) trigger(plan *reload.Plan) error {
	row := plan.Row
	switch {
	case len(c.Command) > 0:
		plan.Command = c.Command
		return nil
	case c.URL != "" || c.Signal == "" && row.URL != "":
		return c.url(plan)
	}
	name := c.Signal
	if name == "" {
		name = row.Signal
	}
	var err error
	if plan.Signal, err = process.ParseSignal(name); err != nil {
		return fmt.Errorf("--%s: %w", flagSignal, err)
	}
	if plan.Process.IsZero() {
		return fmt.Errorf("--%s needs a process: give --reload-process, --reload-cmdline or --reload-container", flagSignal)
	}
	// The word of a preset counts for the signal it knows. Those with a URL know HUP as well.
	known := row.Signal
	if known == "" {
		known = "HUP"
	}
	switch {
	case c.SignalHandled:
		plan.Assured = process.UserAssurance
	case row.Assured && process.SignalName(plan.Signal) == known:
		plan.Assured = process.PresetAssurance
	}
	return nil
}

func (c Config) url(plan *reload.Plan) error {
	row := plan.Row
	if err := reloadspec.CheckMethod(c.Method); err != nil {
		return fmt.Errorf("--reload-method: %w", err)
	}
	status, err := reloadspec.ParseStatuses(c.Status)
	if err != nil {
		return fmt.Errorf("--reload-status: %w", err)
	}
	e := &reload.Endpoint{
		URL: c.URL, Method: c.Method, Status: status, Body: row.Body, BodyFile: c.BodyFrom, CAFile: c.CAFile,
		SkipVerify: c.SkipVerify, Timeout: c.Timeout, Attempts: c.Attempts,
		Headers: map[string]string{}, HeaderFiles: plan.Access.HeaderFiles, Accepted: plan.Access.Accepted,
	}
	if e.URL == "" {
		e.URL = row.URL
	}
	if err := reloadspec.CheckURL(e.URL); err != nil {
		return fmt.Errorf("--reload-url: %w", err)
	}
	maps.Copy(e.Headers, row.Headers)
	if row.ContentType != "" {
		e.Headers["Content-Type"] = row.ContentType
	}
	if e.BodyFile == "" && row.BodyFrom != "" {
		if e.BodyFile = c.watched(row.BodyFrom); e.BodyFile == "" {
			return fmt.Errorf("preset %s sends the file %s: watch it, or name it with --reload-body-from", row.Name, row.BodyFrom)
		}
	}
	plan.URL, plan.Access.Server = e, e.URL
	return nil
}

// access is what all requests have in common.
func (c Config) access() (reload.Access, error) {
	a := reload.Access{
		HeaderFiles: map[string]string{}, CAFile: c.CAFile, SkipVerify: c.SkipVerify, Timeout: c.Timeout, Attempts: c.Attempts,
		Accepted: &reload.Credentials{},
	}
	for _, pair := range c.HeaderFrom {
		name, file, err := reloadspec.ParseHeader(pair)
		if err != nil {
			return a, fmt.Errorf("--%s: %w", flagHeaders, err)
		}
		a.HeaderFiles[http.CanonicalHeaderKey(name)] = file
	}
	a.Accepted.Read(a.HeaderFiles)
	return a, nil
}

// watched finds where a file of that name is watched, "" when nowhere.
func (c Config) watched(name string) string {
	for _, w := range c.Watch {
		if filepath.Base(w.Path) == name {
			return w.Path
		}
		if len(w.Keys) == 0 || slices.Contains(w.Keys, name) {
			return filepath.Join(w.Path, name)
		}
	}
	return ""
}

func (c Config) proof(plan *reload.Plan) error {
	if err := c.probe(plan); err != nil {
		return err
	}
	// Without a URL that reloads, the headers can only be meant for the page of the proof, or else for the verify URL.
	plan.Access.Server = cmp.Or(plan.Access.Server, plan.Row.Proof.URL, c.VerifyURL)
	if c.VerifyURL == "" {
		return nil
	}
	if err := reloadspec.CheckURL(c.VerifyURL); err != nil {
		return fmt.Errorf("--verify-url: %w", err)
	}
	plan.VerifyURL = plan.Access.Page(c.VerifyURL)
	return nil
}

// probe is where the proof of the preset is found.
func (c Config) probe(plan *reload.Plan) error {
	proof := &plan.Row.Proof
	switch {
	case c.ProbeURL != "" && proof.URL == "":
		return errors.New("--probe-url: only a preset whose proof is at a URL has a use for it (docs/presets.md)")
	case c.ProbeURL != "":
		if err := reloadspec.CheckURL(c.ProbeURL); err != nil {
			return fmt.Errorf("--probe-url: %w", err)
		}
		proof.URL = c.ProbeURL
	case c.URL != "" && proof.URL != "":
		// Another address for the reload is another address for the proof.
		asked, err1 := url.Parse(c.URL)
		usual, err2 := url.Parse(proof.URL)
		if err1 == nil && err2 == nil && asked.Host != "" {
			usual.Scheme, usual.Host = asked.Scheme, asked.Host
			proof.URL = usual.String()
		}
	}
	return nil
}
