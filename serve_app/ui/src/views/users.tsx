// Users, for administrators: take in, give keys, weigh, limit, disable, delete.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { NewKey, User, Users } from "../api/types";
import { bytes, count, number, time } from "../format";
import { Button, Empty, Failure, Head, LinkButton, Loading } from "../parts/basics";
import { KeyShown } from "../parts/keys";
import { useLoad } from "../parts/load";
import { link } from "../router";
import { isAdmin, me } from "../session";
import type { ViewProps } from ".";
import { NewUserDialog } from "./users/new";
import { UserDialog } from "./users/one";
import "./users/users.css";

export function UsersView({ path }: ViewProps): JSX.Element {
  if (!isAdmin.value) return <ForAdministrators />;
  return <AllUsers chosen={path[0] ?? null} />;
}

function ForAdministrators(): JSX.Element {
  return (
    <>
      <Head title="Users" />
      <Empty
        icon="users"
        title="For administrators"
        action={<LinkButton href={link(["account"])}>Your keys and storage</LinkButton>}
      >
        Users are looked after by whoever runs this service. Your own keys, your storage and what
        you have used are on a page of your own.
      </Empty>
    </>
  );
}

function AllUsers({ chosen }: { chosen: string | null }): JSX.Element {
  const { data, error, again } = useLoad<Users>("/users");
  const [taking, setTaking] = useState(false);
  const [made, setMade] = useState<NewKey | null>(null);
  const users = data?.users as User[] | undefined;
  const user = users?.find((each) => each.id === chosen);
  const off = users?.filter((each) => each.disabled_at).length ?? 0;
  const about = users && `${count(users.length)} users${off ? `, ${count(off)} disabled` : ""}`;
  const close = () => (location.hash = link(["users"]));
  return (
    <>
      <Head title="Users" about={about}>
        <Button kind="primary" icon="plus" onClick={() => setTaking(true)}>
          New user
        </Button>
      </Head>
      {error && <Failure error={error} onRetry={again} />}
      {!users && !error && <Loading rows={6} label="Loading the users" />}
      {users && <UserTable users={users} />}
      {taking && (
        <NewUserDialog
          onClose={() => setTaking(false)}
          onMade={(key) => {
            setTaking(false);
            setMade(key);
            again();
          }}
        />
      )}
      {made && <KeyShown made={made} onClose={() => setMade(null)} />}
      {user && <UserDialog key={user.id} user={user} onChanged={again} onClose={close} />}
    </>
  );
}

function UserRow({ user }: { user: User }): JSX.Element {
  return (
    <tr class={user.disabled_at ? "off" : ""}>
      <td>
        <a class="users-name" href={link(["users", user.id])}>
          {user.name}
        </a>
        <div class="small muted">
          {user.id}
          {user.id === me.value?.id && " · you"}
        </div>
      </td>
      <td>{user.role}</td>
      <td>
        {user.disabled_at ? (
          <span class="state bad">disabled</span>
        ) : (
          <span class="state good">enabled</span>
        )}
      </td>
      <td class="number">
        {count(user.jobs_open)}
        {user.max_jobs > 0 && <span class="muted"> of {count(user.max_jobs)}</span>}
      </td>
      <td class="number">{number(user.weight)}</td>
      <td class="number">
        {user.max_bytes > 0 ? bytes(user.max_bytes) : <span class="muted">usual</span>}
      </td>
      <td class="number">{count(user.keys)}</td>
      <td class="users-since">{time(user.created_at)}</td>
      <td class="number">
        <LinkButton
          href={link(["users", user.id])}
          icon="edit"
          kind="quiet"
          label={`Look after ${user.name}`}
        />
      </td>
    </tr>
  );
}

function UserTable({ users }: { users: readonly User[] }): JSX.Element {
  return (
    <div class="card scroll users-table" tabIndex={0} role="region" aria-label="Users">
      <table class="table">
        <thead>
          <tr>
            <th>User</th>
            <th>Role</th>
            <th>State</th>
            <th class="number">Unfinished jobs</th>
            <th class="number">Weight</th>
            <th class="number">Storage</th>
            <th class="number">Keys</th>
            <th>Since</th>
            <th>
              <span class="unseen">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {users.map((user) => (
            <UserRow key={user.id} user={user} />
          ))}
        </tbody>
      </table>
    </div>
  );
}
