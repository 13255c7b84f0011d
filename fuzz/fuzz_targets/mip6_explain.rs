#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| targets::mip6_explain(octets));
