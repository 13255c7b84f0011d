//! What both configuration files have.

use std::path::PathBuf;

use mobility_protocol::security::{Algorithm, ReplayProtection, SecurityAssociation};

use super::document::Section;
use super::{BackendChoice, key_file, values};

/// `control` and `state`.
pub(super) fn places(root: &Section<'_>, control: &str, state: &str) -> (PathBuf, PathBuf) {
    (
        root.or("control", control.into(), values::socket_path)
            .value,
        root.or("state", state.into(), values::path).value,
    )
}

/// `[dataplane]`
pub(super) fn backend(section: Section<'_>) -> BackendChoice {
    let backend = section
        .or("backend", BackendChoice::Auto, values::backend)
        .value;
    section.finish();
    backend
}

/// `spi`, `algorithm`, `replay` and `key-file` of a section that names the other end; nothing when something
/// about them was reported.
pub(super) fn association(section: &Section<'_>, key_file: &str) -> Option<SecurityAssociation> {
    let spi = section.required("spi", "write: spi = 256", values::spi);
    let algorithm = section
        .or("algorithm", Algorithm::HmacMd5, values::algorithm)
        .value;
    let replay = section
        .or(
            "replay",
            ReplayProtection::Timestamps,
            values::replay_protection,
        )
        .value;
    let help = format!("write: key-file = \"{key_file}\"");
    let key = section.required("key-file", &help, |value| {
        key_file::read(&values::path(value)?)
    });
    Some(SecurityAssociation {
        spi: spi?.value,
        algorithm,
        key: key?.value,
        replay,
    })
}
