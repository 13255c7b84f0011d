//! The book of stories: small internets, the real daemons, unmodified programs. One file per promise.

mod a_flood_of_strangers_leaves_nothing;
mod a_forged_name_answer_is_not_taken;
mod a_held_answer_waits_for_no_more_than_it_must;
mod a_key_is_changed_during_a_session;
mod a_name_captures_no_others_address;
mod a_published_key_is_insisted_on;
mod a_stranger_changes_no_binding;
mod a_thousand_laptops;
mod a_tunnel_leads_to_correspondents_alone;
mod a_victim_gets_no_more_than_the_mover_got;
mod absent_agent_costs_at_most_the_hold;
mod advertisements_come_late_or_wrong;
mod agent_and_server_on_one_host;
mod chad_is_killed_during_a_transfer;
mod chad_loses_its_state;
mod chad_stops_and_leaves_nothing;
mod connectionless_use_ends_by_inactivity;
mod curl_survives_ten_moves;
mod daemons_explain_themselves;
mod each_backend_understands_the_other;
mod earlier_session_is_untouched;
mod fragments_and_extension_headers_pass;
mod full_disk_promises_nothing;
mod host_without_agent_is_untouched;
mod iperf3_survives_ten_moves;
mod ipip_in_the_kernel_beside_user_space;
mod keys;
mod known_laptops_only;
mod last_socket_closes_nothing_remains;
mod lifetime_expires_while_away;
mod make_before_break_loses_nothing;
mod mn_agent_is_killed;
mod mn_agent_restarts;
mod move_while_an_answer_is_held;
mod name_server_dies_and_returns;
mod narrow_network_is_no_black_hole;
mod network_that_does_not_answer;
mod one_site_does_not_take_the_pool;
mod only_signed_names_have_home_agents;
mod packet_to_an_unbound_address_is_counted_once;
mod ping_survives_moves;
mod plain_connection;
mod plain_sessions_end_with_a_move;
mod pool_runs_out_and_recovers;
mod refusing_agent_is_no_obstacle;
mod resolv_conf_is_a_bind_mount;
mod resolv_conf_is_rewritten_during_a_move;
mod rubbish_does_not_stop_a_transfer;
mod silent_agent_costs_at_most_the_hold;
mod ssh_survives_ten_moves;
mod the_lab_is_a_small_internet;
mod tshark_understands_every_message;
mod two_correspondents_behind_two_agents;
mod unused_binding_is_released;
mod visitors_configure_themselves;
mod who_returns_needs_one_round_trip;
mod wiped_rules_come_back;
mod wrong_agent_is_not_believed;

use std::process::ExitCode;

use lab::{Backend, Family, StoryEntry, runner};

/// A story by its module's name, and the programs it needs.
macro_rules! story {
    ($name:ident, $needs:expr) => {
        StoryEntry {
            name: stringify!($name),
            needs: &$needs,
            families: &Family::ALL,
            backends: &Backend::ALL,
            beside_kernel_tunnels: false,
            tell: $name::tell,
        }
    };
}

const BOOK: &[StoryEntry] = &[
    story!(
        the_lab_is_a_small_internet,
        ["ping", "curl", "tcpdump", "tshark"]
    )
    // Without daemons.
    .told_in(&Family::ALL)
    .only(&[Backend::Userspace]),
    story!(visitors_configure_themselves, ["curl", "ip", "ping"])
        .told_in(&[Family::Ipv6])
        .only(&[Backend::Userspace]),
    story!(
        plain_sessions_end_with_a_move,
        ["curl", "iperf3", "ip", "ssh", "ssh-keygen", "sshd"]
    )
    .told_in(&Family::ALL)
    .only(&[Backend::Userspace]),
    story!(curl_survives_ten_moves, ["curl"]),
    story!(ssh_survives_ten_moves, ["ssh", "ssh-keygen", "sshd"]),
    story!(iperf3_survives_ten_moves, ["iperf3", "ip"]),
    story!(make_before_break_loses_nothing, []),
    story!(ping_survives_moves, ["ping", "tcpdump", "tshark"]),
    story!(a_thousand_laptops, ["curl"]),
    story!(advertisements_come_late_or_wrong, []).told_in(&[Family::Ipv6]),
    story!(fragments_and_extension_headers_pass, []),
    story!(narrow_network_is_no_black_hole, ["ping"]),
    story!(two_correspondents_behind_two_agents, ["curl"]),
    story!(who_returns_needs_one_round_trip, []),
    story!(a_name_captures_no_others_address, ["curl"]),
    story!(a_published_key_is_insisted_on, ["curl"]),
    // Of names, whoever carries the packets.
    story!(a_held_answer_waits_for_no_more_than_it_must, []).only(&[Backend::Userspace]),
    story!(a_key_is_changed_during_a_session, ["curl"]).only(&[Backend::Userspace]),
    story!(only_signed_names_have_home_agents, ["curl"]).only(&[Backend::Userspace]),
    // The column is chad's backend.
    story!(each_backend_understands_the_other, ["curl"]).beside_kernel_tunnels(),
    story!(agent_and_server_on_one_host, ["curl"]),
    story!(
        host_without_agent_is_untouched,
        ["curl", "tcpdump", "tshark"]
    ),
    story!(earlier_session_is_untouched, ["curl"]),
    story!(absent_agent_costs_at_most_the_hold, ["curl"]),
    story!(refusing_agent_is_no_obstacle, ["curl"]),
    story!(silent_agent_costs_at_most_the_hold, ["curl"]),
    story!(wrong_agent_is_not_believed, ["curl"]),
    story!(name_server_dies_and_returns, ["curl"]),
    story!(resolv_conf_is_rewritten_during_a_move, ["curl"]),
    story!(resolv_conf_is_a_bind_mount, ["curl"]),
    story!(network_that_does_not_answer, ["curl"]),
    story!(wiped_rules_come_back, ["curl", "ip"]),
    story!(move_while_an_answer_is_held, ["curl"]),
    story!(chad_is_killed_during_a_transfer, ["curl"]),
    story!(known_laptops_only, ["curl"]),
    story!(full_disk_promises_nothing, ["curl", "mount"]),
    story!(chad_loses_its_state, ["curl"]),
    story!(chad_stops_and_leaves_nothing, ["ip", "nft"]),
    story!(mn_agent_restarts, ["curl", "ip", "nft"]),
    story!(
        mn_agent_is_killed,
        [
            "curl",
            "ping",
            "ssh",
            "ssh-keygen",
            "sshd",
            "tcpdump",
            "tshark"
        ]
    ),
    story!(pool_runs_out_and_recovers, ["curl"]),
    story!(lifetime_expires_while_away, ["ssh", "ssh-keygen", "sshd"]),
    story!(
        packet_to_an_unbound_address_is_counted_once,
        ["ping", "tcpdump", "tshark"]
    ),
    story!(
        last_socket_closes_nothing_remains,
        ["curl", "ip", "nft", "tcpdump", "tshark"]
    ),
    story!(connectionless_use_ends_by_inactivity, ["nc"]),
    story!(unused_binding_is_released, []),
    story!(rubbish_does_not_stop_a_transfer, ["curl"]),
    story!(a_forged_name_answer_is_not_taken, ["curl", "tcpdump"]),
    story!(a_stranger_changes_no_binding, ["curl", "tcpdump"]),
    story!(a_flood_of_strangers_leaves_nothing, ["curl", "tcpdump"]),
    story!(a_victim_gets_no_more_than_the_mover_got, ["tcpdump"]),
    story!(one_site_does_not_take_the_pool, ["curl"]),
    story!(a_tunnel_leads_to_correspondents_alone, []),
    story!(
        tshark_understands_every_message,
        ["curl", "tcpdump", "tshark"]
    ),
    story!(daemons_explain_themselves, ["curl", "tcpdump"]),
    story!(
        ipip_in_the_kernel_beside_user_space,
        ["curl", "tcpdump", "tshark"]
    )
    .only(&[Backend::Userspace])
    .beside_kernel_tunnels(),
];

fn main() -> ExitCode {
    runner::main(BOOK)
}
