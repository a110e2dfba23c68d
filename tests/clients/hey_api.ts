/** The story of a client, told with @hey-api/openapi-ts. */

import { check, equal, Session, tell } from "./check";
import { createClient, createConfig } from "./hey/client";
import {
  changeTasks,
  createTask,
  getTask,
  listChanges,
  listTasks,
  logIn,
  logOut,
  me,
  patchTask,
  refresh,
  register,
} from "./hey/sdk.gen";
import type { Task } from "./hey/types.gen";

async function story(baseUrl: string): Promise<void> {
  const anonymous = createClient(createConfig({ baseUrl }));
  const body = { email: `hey-${Date.now()}@example.org`, password: "correct horse battery" };
  const registered = await register({ client: anonymous, body });
  check(registered.data !== undefined, "registered");
  const again = await register({ client: anonymous, body });
  equal(again.error?.code, "email_taken", "registered twice");
  const login = await logIn({ client: anonymous, body });
  check(login.data !== undefined, "logged in");

  let refreshToken = login.data.refresh_token;
  const session = new Session("an access token that has expired", async () => {
    const { data } = await refresh({ client: anonymous, body: { refresh_token: refreshToken } });
    check(data !== undefined, "refreshed");
    refreshToken = data.refresh_token;
    return data.access_token;
  });
  const client = createClient(createConfig({ baseUrl, fetch: session.fetch }));
  equal((await me({ client })).data?.id, registered.data.id, "who is logged in, after a refresh");
  equal(session.refreshes, 1, "refreshes");

  const start = await listChanges({ client });
  check(start.data !== undefined, "the present cursor");

  const made: Task[] = [];
  for (const [title, priority] of [["Letter", "high"], ["Call", "low"], ["Tea", "urgent"]] as const) {
    const { data } = await createTask({
      client,
      body: { title, priority, labels: ["home"], due_at: "2026-12-01T09:00:00+01:00" },
    });
    check(data !== undefined, `created ${title}`);
    made.push(data);
  }
  const [letter, call, tea] = made;
  check(letter !== undefined && call !== undefined && tea !== undefined, "three tasks");
  equal(letter.status, "todo", "the status of a task without one");

  const retried = { client, body: { title: "Once" }, headers: { "Idempotency-Key": "a-key" } };
  const first = await createTask(retried);
  const replay = await createTask(retried);
  equal(replay.data?.id, first.data?.id, "the task of a retry");
  equal(replay.response?.headers.get("Idempotency-Replayed"), "true", "the header of a retry");

  const filtered = await listTasks({
    client,
    query: { status: ["open"], priority: ["high", "urgent"], label: ["HOME"], sort: "priority" },
  });
  equal(filtered.data?.items.map((task) => task.id), [tea.id, letter.id], "filtered and sorted");
  const refused = await listTasks({ client, query: { limit: 0 } });
  equal(refused.error?.code, "invalid", "a limit of 0");

  const seen: number[] = [];
  for (let cursor: string | undefined; ; ) {
    const { data } = await listTasks({ client, query: { limit: 2, cursor } });
    check(data !== undefined, "a page");
    seen.push(...data.items.map((task) => task.id));
    if (data.next_cursor === null) break;
    cursor = data.next_cursor;
  }
  equal(seen.length, 4, "tasks up to the last page");
  equal(new Set(seen).size, 4, "tasks, each once");

  const one = { client, path: { task_id: letter.id } };
  const tag = (await getTask(one)).response?.headers.get("ETag");
  check(typeof tag === "string", "an ETag");
  const edit = { ...one, headers: { "If-Match": tag }, body: { status: "in_progress" } } as const;
  equal((await patchTask(edit)).data?.version, 2, "the version after an edit");
  const stale = await patchTask(edit);
  equal([stale.response?.status, stale.error?.code], [412, "stale_write"], "an edit of an old version");

  const bulk = await changeTasks({
    client,
    body: {
      operations: [
        { op: "create", task: { title: "Bulk" } },
        { op: "update", id: call.id, version: call.version, changes: { status: "done" } },
        { op: "delete", id: tea.id },
      ],
    },
  });
  equal(bulk.data?.items.map((task) => task?.status ?? null), ["todo", "done", null], "a bulk");

  const told = new Map<number, string>();
  for (let cursor = start.data.cursor, more = true; more; ) {
    const { data } = await listChanges({ client, query: { cursor, limit: 2 } });
    check(data !== undefined, "a page of changes");
    for (const item of data.items) told.set(item.id, item.change);
    [cursor, more] = [data.cursor, data.has_more];
  }
  equal(told.size, 5, "tasks that have changed");
  equal(told.get(tea.id), "removed", "what happened to a deleted task");

  equal((await logOut({ client })).response?.status, 204, "logged out");
}

tell(story);
