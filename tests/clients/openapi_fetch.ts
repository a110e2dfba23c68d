/** The story of a client, told with openapi-typescript and openapi-fetch. */

import createClient from "openapi-fetch";
import { check, equal, Session, tell } from "./check";
import type { components, paths } from "./openapi";

type Task = components["schemas"]["Task"];

async function story(baseUrl: string): Promise<void> {
  const anonymous = createClient<paths>({ baseUrl });
  const account = { email: `fetch-${Date.now()}@example.org`, password: "correct horse battery" };
  const registered = await anonymous.POST("/api/v1/auth/register", { body: account });
  check(registered.data !== undefined, "registered");
  const again = await anonymous.POST("/api/v1/auth/register", { body: account });
  equal(again.error?.code, "email_taken", "registered twice");
  const login = await anonymous.POST("/api/v1/auth/login", { body: account });
  check(login.data !== undefined, "logged in");

  let refreshToken = login.data.refresh_token;
  const session = new Session("an access token that has expired", async () => {
    const { data } = await anonymous.POST("/api/v1/auth/refresh", {
      body: { refresh_token: refreshToken },
    });
    check(data !== undefined, "refreshed");
    refreshToken = data.refresh_token;
    return data.access_token;
  });
  const api = createClient<paths>({ baseUrl, fetch: session.fetch });
  const me = await api.GET("/api/v1/auth/me");
  equal(me.data?.id, registered.data.id, "who is logged in, after a refresh");
  equal(session.refreshes, 1, "refreshes");

  const start = await api.GET("/api/v1/changes");
  check(start.data !== undefined, "the present cursor");

  const made: Task[] = [];
  for (const [title, priority] of [["Letter", "high"], ["Call", "low"], ["Tea", "urgent"]] as const) {
    const { data } = await api.POST("/api/v1/tasks", {
      body: { title, priority, labels: ["home"], due_at: "2026-12-01T09:00:00+01:00" },
    });
    check(data !== undefined, `created ${title}`);
    made.push(data);
  }
  const [letter, call, tea] = made;
  check(letter !== undefined && call !== undefined && tea !== undefined, "three tasks");
  equal(letter.status, "todo", "the status of a task without one");

  const retried = { body: { title: "Once" }, params: { header: { "Idempotency-Key": "a-key" } } };
  const first = await api.POST("/api/v1/tasks", retried);
  const replay = await api.POST("/api/v1/tasks", retried);
  equal(replay.data?.id, first.data?.id, "the task of a retry");
  equal(replay.response.headers.get("Idempotency-Replayed"), "true", "the header of a retry");

  const filtered = await api.GET("/api/v1/tasks", {
    params: {
      query: { status: ["open"], priority: ["high", "urgent"], label: ["HOME"], sort: "priority" },
    },
  });
  equal(filtered.data?.items.map((task) => task.id), [tea.id, letter.id], "filtered and sorted");
  const refused = await api.GET("/api/v1/tasks", { params: { query: { limit: 0 } } });
  equal(refused.error?.code, "invalid", "a limit of 0");

  const seen: number[] = [];
  for (let cursor: string | undefined; ; ) {
    const { data } = await api.GET("/api/v1/tasks", { params: { query: { limit: 2, cursor } } });
    check(data !== undefined, "a page");
    seen.push(...data.items.map((task) => task.id));
    if (data.next_cursor === null) break;
    cursor = data.next_cursor;
  }
  equal(seen.length, 4, "tasks up to the last page");
  equal(new Set(seen).size, 4, "tasks, each once");

  const one = { path: { task_id: letter.id } };
  const shown = await api.GET("/api/v1/tasks/{task_id}", { params: one });
  const tag = shown.response.headers.get("ETag");
  check(tag !== null, "an ETag");
  const held = { params: { ...one, header: { "If-Match": tag } } };
  const edit = { ...held, body: { status: "in_progress" } } as const;
  const edited = await api.PATCH("/api/v1/tasks/{task_id}", edit);
  equal(edited.data?.version, 2, "the version after an edit");
  const stale = await api.PATCH("/api/v1/tasks/{task_id}", edit);
  equal([stale.response.status, stale.error?.code], [412, "stale_write"], "an edit of an old version");

  const bulk = await api.POST("/api/v1/tasks/bulk", {
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
    const { data } = await api.GET("/api/v1/changes", { params: { query: { cursor, limit: 2 } } });
    check(data !== undefined, "a page of changes");
    for (const item of data.items) told.set(item.id, item.change);
    [cursor, more] = [data.cursor, data.has_more];
  }
  equal(told.size, 5, "tasks that have changed");
  equal(told.get(tea.id), "removed", "what happened to a deleted task");

  equal((await api.POST("/api/v1/auth/logout")).response.status, 204, "logged out");
}

tell(story);
