package redact

import "strings"

// commonWords stay legible where they stand alone, although a configuration that is kept in a Secret has them, too: by
// them a server says what is wrong. A word that is the whole of a value is hidden all the same.
const commonWords = `
access address admin after alert alive allow allowed already alternatively another answer application argument arguments
attempt authorization backend bad before begin bind block boolean broken build cannot certificate character client close
closed column command config configuration configured connect connection context could critical data database debug
default defined deny deprecated detected development device directive directives directory disabled document does done
duplicate eaccess earlier element emerg empty enable enabled encoding encountered ended entry error errors event events
exception exist exists exit expected expects expression failed failure false fatal field file files filter find first flag
following forbidden format forward found frontend function global group handler have header host http https ignored illegal
include index info input inside instance integer internal invalid json just keep key keys keyword keywords kept label
language last letter level library limit line lines list listen listener load loaded loading local localhost location lock
logging login main manager mapping master match mean memory message method misplaced missing mode module modules must name
names neither network next none notice null number numeric object occurred only open opened operation option options other
output package parameter parameters parse parsed parser parsing password path pattern permission plugin policy port
position prefix process production program property protocol proxy query quote range read reading record redirect reference
referenced refused region reload request required reserved resource response restart result return root route rule rules
running same scalar schema scheme scope script second section secret semicolon sequence server server_name service session
setting settings severity shared should signal single size socket source space start started state statement status stop
storage string structure such supported symbol syntax system table target template test text that then there thing this
time timeout title token tokens true trying type undefined unexpected unknown unmarshal unrecognized unsupported until
update upstream usage used user username users using valid value values variable version virtual wait warn warning when
where which while whole wildcard will with without word worker workers works world write wrong yaml zone
`

// smallWords say nothing by themselves.
const smallWords = " a an and are as at be but by can for from has have if in is it no not of on or so than that the to was "

// CommonWords lists the words that stay legible, for documents and tests.
func CommonWords() []string { return strings.Fields(commonWords + smallWords) }
