//! `chad decode`: explains signalling messages out of hexadecimal or a capture.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use control::cli::{Exit, fail};
use mobility_protocol::explain::{explain, explain_mobility_header};
use mobility_protocol::wire::mip6;
use serde_json::{Map, Value, json};

mod capture;
mod hexadecimal;
mod human;
mod link;
mod packet;

use packet::{Datagram, Found, MobilityHeader};

/// The longest hexadecimal text read.
const LONGEST_TEXT: u64 = 1 << 20;
/// Enough to see what kind of input it is.
const PEEK: usize = 64 << 10;

/// Why nothing could be explained.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeInputError {
    /// Neither a file nor octets.
    #[error("\"{0}\" is neither a file nor hexadecimal: {1}")]
    Neither(String, hexadecimal::HexadecimalError),
    /// A text that isn't octets.
    #[error("neither a capture nor hexadecimal: {0}")]
    Text(#[from] hexadecimal::HexadecimalError),
    /// A capture that can't be read to its end.
    #[error("{0}")]
    Capture(#[from] capture::CaptureError),
    /// The system refused.
    #[error("can't read it: {0}")]
    Read(#[from] io::Error),
}

impl DecodeInputError {
    /// Whether only the reader of the output has gone away, as `head` does.
    fn is_broken_pipe(&self) -> bool {
        let (Self::Read(error) | Self::Capture(capture::CaptureError::Output(error))) = self else {
            return false;
        };
        error.kind() == io::ErrorKind::BrokenPipe
    }
}

/// Explains every message of `input`: hexadecimal octets of one message (or of the IP packet around
/// it), the path of a pcap, pcapng or hexadecimal file, or `-` for any of these on standard
/// input. With `json`, one object a line. Fails when anything is refused or can't be read.
pub(crate) fn run(input: &str, json: bool) -> Exit {
    let mut output = Output {
        to: io::stdout().lock(),
        json,
        refused: 0,
        shown: 0,
    };
    match decode(input, &mut output) {
        Ok(()) if output.refused == 0 => Exit::Success,
        Ok(()) => Exit::Failure,
        Err(error) if error.is_broken_pipe() => Exit::Success,
        Err(error) => fail(error),
    }
}

fn decode(input: &str, output: &mut Output<impl Write>) -> Result<(), DecodeInputError> {
    if input == "-" {
        return decode_stream(io::stdin(), output);
    }
    if Path::new(input).exists() {
        return decode_stream(File::open(input)?, output);
    }
    let octets = hexadecimal::parse(input)
        .map_err(|error| DecodeInputError::Neither(input.to_owned(), error))?;
    Ok(decode_octets(&octets, output)?)
}

fn decode_stream(
    stream: impl Read + Send,
    output: &mut Output<impl Write>,
) -> Result<(), DecodeInputError> {
    let mut reader = BufReader::with_capacity(PEEK, stream);
    if capture::is_capture(reader.fill_buf()?) {
        let summary = capture::read(reader, |packet| output.found(packet))?;
        if output.shown == 0 {
            eprintln!(
                "no signalling, UDP port 434 over IPv4 or Mobility Header over IPv6 or in UDP port 4191, in {} packets",
                summary.packets
            );
        }
        for note in summary.notes() {
            eprintln!("{note}");
        }
        return Ok(());
    }
    let mut octets = Vec::new();
    reader.take(LONGEST_TEXT).read_to_end(&mut octets)?;
    let octets = hexadecimal::parse(&String::from_utf8_lossy(&octets))?;
    Ok(decode_octets(&octets, output)?)
}

/// A message, or the packet around it as `tcpdump -x` prints it. No message of one protocol begins
/// like one of the other, or like a packet.
fn decode_octets(octets: &[u8], output: &mut Output<impl Write>) -> io::Result<()> {
    if let Some(found @ (Found::Datagram(_) | Found::MobilityHeader(_) | Found::Damaged { .. })) =
        packet::inside_ip(octets)
    {
        return output.found(&capture::Packet {
            number: 1,
            time: None,
            found,
        });
    }
    let explanation = match octets {
        [mip6::NO_NEXT_HEADER, ..] => explain_mobility_header(octets, None),
        _ => explain(octets),
    };
    output.message(Map::new(), explanation)
}

struct Output<W> {
    to: W,
    json: bool,
    shown: u64,
    refused: u64,
}

impl<W: Write> Output<W> {
    fn found(&mut self, packet: &capture::Packet<'_>) -> io::Result<()> {
        let mut about = Map::new();
        about.insert("packet".to_owned(), packet.number.into());
        if let Some(time) = packet.time {
            about.insert("time".to_owned(), time.to_string().into());
        }
        match &packet.found {
            Found::Datagram(Datagram {
                source,
                destination,
                payload,
                missing,
            }) => {
                about.insert("source".to_owned(), source.to_string().into());
                about.insert("destination".to_owned(), destination.to_string().into());
                let mut explanation = explain(payload);
                cut_off(&mut explanation, payload.len(), *missing);
                self.message(about, explanation)
            }
            Found::MobilityHeader(header) => {
                locate(&mut about, header);
                let mut explanation =
                    explain_mobility_header(&header.message, Some(&header.pseudo_header));
                cut_off(&mut explanation, header.message.len(), header.missing);
                self.message(about, explanation)
            }
            Found::Damaged {
                source,
                destination,
                kind,
                reason,
            } => {
                about.insert("source".to_owned(), source.to_string().into());
                about.insert("destination".to_owned(), destination.to_string().into());
                self.message(
                    about,
                    json!({"error": {"reason": reason, "kind": kind, "offset": 0}}),
                )
            }
            Found::LaterFragment | Found::Other => Ok(()),
        }
    }

    fn message(&mut self, about: Map<String, Value>, explanation: Value) -> io::Result<()> {
        self.shown += 1;
        self.refused += u64::from(explanation.get("error").is_some());
        if !self.json {
            if self.shown > 1 {
                writeln!(self.to)?;
            }
            return self
                .to
                .write_all(human::render(&about, &explanation).as_bytes());
        }
        let mut object = about;
        if let Value::Object(explanation) = explanation {
            object.extend(explanation);
        }
        writeln!(self.to, "{}", Value::Object(object))
    }
}

/// Says of a message that the capture ends inside it, whatever else is wrong with it.
fn cut_off(explanation: &mut Value, captured: usize, missing: usize) {
    if let (1.., Some(object)) = (missing, explanation.as_object_mut()) {
        let reason = format!("the capture ends {missing} octets before the message does");
        let error = json!({"reason": reason, "kind": "truncated_capture", "offset": captured});
        object.insert("error".to_owned(), error);
    }
}

/// The addresses a Mobility Header travels between. In UDP, `source` and `destination` are those of
/// the datagram.
fn locate(about: &mut Map<String, Value>, header: &MobilityHeader) {
    let mut put = |name: &str, value: String| about.insert(name.to_owned(), value.into());
    let (source, destination) = (header.source.to_string(), header.destination.to_string());
    match header.outer {
        Some((outer_source, outer_destination)) => {
            put("source", outer_source.to_string());
            put("destination", outer_destination.to_string());
            put("inner_source", source);
            put("inner_destination", destination);
        }
        None => {
            put("source", source);
            put("destination", destination);
        }
    }
    if let Some(address) = header.home_address {
        put("home_address_option", address.to_string());
    }
    if let Some(address) = header.routing_address {
        put("routing_header_address", address.to_string());
    }
}

#[cfg(test)]
mod tests;
