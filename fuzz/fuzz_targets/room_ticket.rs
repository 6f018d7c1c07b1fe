#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    flux_gate_fuzz::room_ticket(bytes);
});
