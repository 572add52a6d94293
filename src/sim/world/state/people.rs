//! Users of the helpdesk: its people, its customers, and whoever writes to it.

use jiff::Timestamp;

use super::super::tickets::{User, stable_id, whole_second};
use super::State;
use crate::sim::world_file::{Sender, Vendor};

impl State {
    pub(super) fn add_people(&mut self, bot_address: &str) {
        let created = self.files.now;
        let first_group = self.groups.first().map(|(id, _)| *id);
        let staff = |id, name: &str, address: &str, role, group| User {
            id,
            name: name.to_owned(),
            addresses: vec![(address.to_owned(), true)],
            role,
            external_id: None,
            organization: None,
            group,
            created,
            customer: None,
        };
        let bot = staff(self.bot, "Deskhand", bot_address, "admin", first_group);
        self.add_user(bot);
        for person in self.files.clone().people.iter() {
            let group = person.group.as_deref().and_then(|name| self.group_named(name)).or(first_group);
            let role = if person.role == "admin" { "admin" } else { "agent" };
            let user = staff(person_id(&person.id), &person.name, &person.address, role, group);
            self.add_user(user);
        }
    }

    pub(super) fn add_customers(&mut self) {
        for customer in self.files.clone().customers.iter().filter(|customer| customer.known_to(Vendor::Zendesk)) {
            // An address belongs to one user only: the first customer who has it keeps it.
            let free = |address: &str| !self.by_address.contains_key(&address.to_ascii_lowercase());
            let addresses: Vec<(String, bool)> = customer
                .addresses
                .iter()
                .filter(|address| free(&address.address))
                .map(|address| (address.address.clone(), address.verified))
                .collect();
            let Some((main, _)) = addresses.first() else { continue };
            self.add_user(User {
                id: stable_id("user", &main.to_ascii_lowercase()),
                name: customer.name.clone(),
                role: "end-user",
                external_id: customer.external_id.clone(),
                organization: customer.organization.clone(),
                group: None,
                created: customer.created,
                customer: Some(customer.id.clone()),
                addresses,
            });
        }
    }

    pub(super) fn add_user(&mut self, user: User) {
        for (address, _) in &user.addresses {
            self.by_address.insert(address.to_ascii_lowercase(), user.id);
        }
        self.users.insert(user.id, user);
    }

    /// The user of a sender, made if there is none.
    pub(super) fn user_for(&mut self, sender: &Sender, at: Timestamp) -> i64 {
        if let Some(id) = self.by_address.get(&sender.address.to_ascii_lowercase()) {
            return *id;
        }
        let id = stable_id("user", &sender.address.to_ascii_lowercase());
        self.add_user(User {
            id,
            name: sender.name.clone(),
            addresses: vec![(sender.address.clone(), sender.verified)],
            role: "end-user",
            external_id: None,
            organization: None,
            group: None,
            created: whole_second(at),
            customer: None,
        });
        id
    }

    pub(super) fn person_or_bot(&self, id: &str) -> i64 {
        if id == "deskhand" { self.bot } else { person_id(id) }
    }

    /// This user if it is a person of the helpdesk, else the first one.
    pub(super) fn some_person(&self, wanted: Option<i64>) -> i64 {
        let person = wanted.filter(|id| *id != self.bot && self.users.get(id).is_some_and(User::is_staff));
        person.or_else(|| self.files.people.first().map(|person| person_id(&person.id))).unwrap_or(self.bot)
    }

    /// The number of the group with this name.
    pub fn group_named(&self, name: &str) -> Option<i64> {
        self.groups.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(id, _)| *id)
    }

    /// The user with this address, whatever the case of its letters.
    pub fn user_at(&self, address: &str) -> Option<&User> {
        self.users.get(self.by_address.get(&address.to_ascii_lowercase())?)
    }
}

/// The helpdesk's number of a person of the file.
pub(super) fn person_id(id: &str) -> i64 {
    match id.parse() {
        Ok(number) if number > 0 => number,
        _ => stable_id("person", id),
    }
}
