//! The home agent's tunnel devices, of this run or of a former one.

use std::collections::BTreeMap;

use mobility_protocol::Family;

use super::super::channel::Channel;
use super::super::cutter;
use super::super::device::{self, Device, Form};
use super::super::elements::Elements;
use super::super::program::remove_table;
use super::super::ruleset;
use super::HomeAgentConfig;
use super::state::NARROW_TABLE;
use crate::Error;
use crate::error::Errors;

/// The name of a family's device, given that of IPv4's.
pub(super) fn name(device: &str, family: Family) -> String {
    match family {
        Family::Ipv4 => device.to_owned(),
        Family::Ipv6 => format!("{device}-6"),
    }
}

/// The devices of the families that are to be carried: those of a former run, else new ones, down.
/// What a former run left of another family is removed. After an error no new one is left.
pub(super) fn open(
    channel: &mut Channel,
    config: &HomeAgentConfig,
) -> Result<BTreeMap<Family, Device>, Error> {
    let mut devices = BTreeMap::new();
    let mut made = Vec::new();
    let mut open = |family| -> Result<(), Error> {
        let name = name(&config.device, family);
        let device = find(channel, &name, family);
        if config.addresses.of(family).is_none() {
            return match device {
                Ok(Some(former)) => device::delete(channel, former.index),
                // One that is not ours is not in our way.
                Ok(None) | Err(_) => Ok(()),
            };
        }
        let device = match device? {
            Some(device) => device,
            None => {
                let device = make(channel, &name, family, config.mtu)?;
                made.push(device.index);
                device
            }
        };
        devices.insert(family, device);
        Ok(())
    };
    if let Err(error) = [Family::Ipv4, Family::Ipv6]
        .into_iter()
        .try_for_each(&mut open)
    {
        let mut errors = Errors::default();
        errors.note::<()>(Err(error));
        for index in made {
            errors.note(device::delete(channel, index));
        }
        return Err(errors.into_error());
    }
    Ok(devices)
}

/// The device of a former run; `None` when there is none.
fn find(channel: &mut Channel, name: &str, family: Family) -> Result<Option<Device>, Error> {
    let devices = device::list(channel)?;
    match devices.into_iter().find(|device| device.name == name) {
        Some(found) if found.form == Some(Form::External(family)) => Ok(Some(found)),
        Some(found) => Err(Error::DeviceTaken(found.name)),
        None => Ok(None),
    }
}

fn make(channel: &mut Channel, name: &str, family: Family, mtu: u16) -> Result<Device, Error> {
    let form = Form::External(family);
    if let Err(error) = device::create(channel, name, form, mtu) {
        // The kernel has one such device of a family for each namespace.
        let other = device::list(channel)?
            .into_iter()
            .find(|device| device.form == Some(form));
        return Err(match other {
            Some(other) if error.is_present() => Error::ExternalDevice(other.name),
            _ => device::explain(error, family),
        });
    }
    find(channel, name, family)?.ok_or_else(|| Error::NoDevice(name.to_owned()))
}

/// Removes devices and table that the kernel backend of a former run left, so that another backend
/// can take their place.
///
/// # Errors
/// What could not be removed.
pub(crate) fn remove_leftovers(device: &str) -> Result<(), Error> {
    let mut channel = Channel::open_route()?;
    let mut found = false;
    for family in [Family::Ipv4, Family::Ipv6] {
        let name = name(device, family);
        for present in device::list(&mut channel)? {
            if present.name == name && present.form == Some(Form::External(family)) {
                found = true;
                device::delete(&mut channel, present.index)?;
            }
        }
    }
    if found {
        remove_table(&mut Elements::open(ruleset::TABLE)?, ruleset::TABLE)?;
        cutter::remove_leftovers(NARROW_TABLE)?;
    }
    Ok(())
}
