//! The committed corpora of the fuzz targets.

use std::fs;
use std::path::PathBuf;

/// Runs a target over its corpus.
pub(crate) fn replay(target: &str, check: fn(&[u8])) {
    let corpus = corpus(target);
    assert!(
        corpus.len() >= 40,
        "{target} has a corpus of only {}",
        corpus.len()
    );
    for (name, octets) in corpus {
        println!("{target}/{name}");
        check(&octets);
    }
}

/// The corpus of a target, by name.
pub(crate) fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut corpus: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| {
            let entry = entry.unwrap();
            (
                entry.file_name().to_string_lossy().into_owned(),
                fs::read(entry.path()).unwrap(),
            )
        })
        .collect();
    corpus.sort();
    corpus
}
