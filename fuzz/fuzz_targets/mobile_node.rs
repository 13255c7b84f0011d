#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| targets::mobile_node(octets));
