// A careful Fastify: schemas compiled for what comes in and goes out, prepared statements that
// postgres.js pipelines on ten connections, the session read on each request, one statement for the
// work. Its tables are ours, with the same columns and constraints, and a column of words for
// search. It writes no log and has no limits, keys, trash or events: see docs/performance.md.

import Fastify from 'fastify'
import { createVerifier } from 'fast-jwt'
import postgres from 'postgres'

const PREFIX = '/api/v1'
const STATUSES = ['todo', 'in_progress', 'done', 'cancelled']
const GROUPS = { open: ['todo', 'in_progress'], closed: ['done', 'cancelled'] }
const PRIORITIES = ['none', 'low', 'medium', 'high', 'urgent']
const FIELDS =
  'id, title, description, status, priority, due_date, due_at, time_zone, labels, completed_at,' +
  ' owner_id, edition, created_at, updated_at'

// --- PostgreSQL

const asText = { serialize: (x) => x, parse: (x) => x }
const sql = postgres({
  max: 10,
  connection: { search_path: `${process.env.BENCH_SCHEMA},public`, TimeZone: 'UTC' },
  types: {
    int8: { to: 20, from: [20], serialize: String, parse: Number },
    date: { to: 1082, from: [1082], ...asText },
    // "2026-11-27 12:00:00.123456+00", with its microseconds, which a Date would lose
    moment: {
      to: 1184,
      from: [1184],
      serialize: (x) => x,
      parse: (x) => `${x.slice(0, 10)}T${x.slice(11, -3)}Z`,
    },
  },
})
const rows = (statement, values) => sql.unsafe(statement, values, { prepare: true })

const SESSION =
  'SELECT users.id, users.role, users.time_zone FROM sessions JOIN users ON users.id = user_id' +
  ' WHERE sessions.id = $1 AND expires_at > now() AND is_active'
const GET = `SELECT ${FIELDS} FROM tasks WHERE id = $1`
const CREATE =
  'INSERT INTO tasks (owner_id, title, description, status, priority, due_date, due_at, time_zone,' +
  ' due_sort, labels, label_keys, completed_at, created_at, updated_at)' +
  ' VALUES ($1, $2, $3, $4, $5, $6::date, $7::timestamptz, $8,' +
  " coalesce($7::timestamptz, $6::date, '9999-12-31 23:59:59.999999Z'::timestamptz)," +
  ' $9, $10, CASE WHEN $4::smallint = 2 THEN now() END, now(), now())' +
  ` RETURNING ${FIELDS}`
// $12: whether a due is given. What is null of the others stays as it is.
const EDIT =
  'UPDATE tasks SET title = coalesce($4, title), description = coalesce($5, description),' +
  ' status = coalesce($6::smallint, status), priority = coalesce($7::smallint, priority),' +
  ' completed_at = CASE coalesce($6::smallint, status) WHEN 2 THEN coalesce(completed_at, now()) END,' +
  ' labels = coalesce($8, labels),' +
  ' label_keys = CASE WHEN $8::text[] IS NULL THEN label_keys ELSE $9 END,' +
  ' due_date = CASE WHEN $12 THEN $10::date ELSE due_date END,' +
  ' due_at = CASE WHEN $12 THEN $11::timestamptz ELSE due_at END,' +
  ' time_zone = CASE WHEN $12 THEN $13 ELSE time_zone END,' +
  ' due_sort = CASE WHEN $12 THEN coalesce($11::timestamptz, $10::date,' +
  " '9999-12-31 23:59:59.999999Z'::timestamptz) ELSE due_sort END," +
  ' edition = edition + 1, updated_at = now() WHERE id = $1 AND (owner_id = $2 OR $3)' +
  ` RETURNING ${FIELDS}`
const DELETE = 'DELETE FROM tasks WHERE id = $1 AND (owner_id = $2 OR $3) RETURNING id'
const CHANGES =
  `SELECT ${FIELDS} FROM tasks WHERE owner_id = $1 AND (updated_at, id) > ($2, $3)` +
  ' ORDER BY updated_at, id LIMIT $4'

// --- Schemas

const day = { type: ['string', 'null'], format: 'date' }
const moment = { type: ['string', 'null'], format: 'date-time' }
const nullable = { type: ['string', 'null'] }
const title = { type: 'string', minLength: 1, maxLength: 255 }
const description = { type: 'string', maxLength: 5000 }
const labels = {
  type: 'array',
  maxItems: 20,
  uniqueItems: true,
  items: { type: 'string', minLength: 1, maxLength: 64 },
}
const draft = {
  type: 'object',
  additionalProperties: false,
  properties: {
    title,
    description,
    status: { enum: STATUSES },
    priority: { enum: PRIORITIES },
    due_date: day,
    due_at: moment,
    time_zone: nullable,
    labels,
  },
}
const one = { type: 'object', properties: { id: { type: 'integer', minimum: 1 } } }
const task = {
  type: 'object',
  properties: {
    id: { type: 'integer' },
    title: { type: 'string' },
    description: { type: 'string' },
    status: { type: 'string' },
    priority: { type: 'string' },
    // Texts of PostgreSQL, already as they are sent.
    due_date: nullable,
    due_at: nullable,
    time_zone: nullable,
    labels: { type: 'array', items: { type: 'string' } },
    completed_at: nullable,
    owner_id: { type: 'integer' },
    version: { type: 'integer' },
    created_at: { type: 'string' },
    updated_at: { type: 'string' },
  },
}
const words = (items) => ({ type: 'array', items })
const listing = {
  querystring: {
    type: 'object',
    additionalProperties: false,
    properties: {
      limit: { type: 'integer', minimum: 1, maximum: 100, default: 100 },
      skip: { type: 'integer', minimum: 0, default: 0 },
      cursor: { type: 'string' },
      status: words({ enum: [...STATUSES, ...Object.keys(GROUPS)] }),
      priority: words({ enum: PRIORITIES }),
      label: words({ type: 'string', maxLength: 64 }),
      q: { type: 'string', minLength: 1, maxLength: 200 },
    },
  },
  response: {
    200: {
      type: 'object',
      properties: {
        items: { type: 'array', items: task },
        total: { type: 'integer' },
        skip: { type: 'integer' },
        limit: { type: 'integer' },
        next_cursor: nullable,
      },
    },
  },
}
const changing = {
  querystring: {
    type: 'object',
    additionalProperties: false,
    required: ['cursor'],
    properties: {
      limit: { type: 'integer', minimum: 1, maximum: 1000, default: 1000 },
      cursor: { type: 'string' },
    },
  },
  response: {
    200: {
      type: 'object',
      properties: {
        items: {
          type: 'array',
          items: {
            type: 'object',
            properties: {
              type: { type: 'string' },
              id: { type: 'integer' },
              change: { type: 'string' },
              task,
            },
          },
        },
        cursor: { type: 'string' },
        has_more: { type: 'boolean' },
      },
    },
  },
}

// --- The application

const app = Fastify({
  ajv: { customOptions: { removeAdditional: false, coerceTypes: 'array' } },
})

class Refused extends Error {
  constructor(statusCode, message) {
    super(message)
    this.statusCode = statusCode
  }
}

app.setErrorHandler((error, request, reply) => {
  const status = error.validation ? 422 : (error.statusCode ?? 500)
  if (status >= 500) console.error(error)
  const title = status < 500 ? error.message : 'Internal Server Error'
  return reply.code(status).type('application/problem+json').send({ status, title })
})

const verified = createVerifier({
  key: Buffer.from(process.env.BENCH_TOKEN_KEY, 'hex'),
  algorithms: ['HS256'],
  allowedIss: 'taskcore',
  allowedAud: 'taskcore',
  clockTolerance: 5000,
  cache: 1000,
})

// Who asks: the token says which session, the database whether it lasts and what its user may do.
app.decorateRequest('user', null)
app.addHook('onRequest', async (request) => {
  const header = request.headers.authorization
  let claims
  try {
    claims = verified(header?.startsWith('Bearer ') ? header.slice(7) : '')
  } catch {
    throw new Refused(401, 'The access token is not valid')
  }
  const [user] = await rows(SESSION, [claims.sid])
  if (user === undefined || String(user.id) !== claims.sub) {
    throw new Refused(401, 'The session has ended')
  }
  request.user = user
})

function shown(row) {
  row.status = STATUSES[row.status]
  row.priority = PRIORITIES[row.priority]
  row.version = row.edition
  return row
}

function found(row) {
  if (row === undefined) throw new Refused(404, 'There is no such task')
  return shown(row)
}

const key = (label) => label.normalize('NFC').toLowerCase()
const keys = (names) => (names?.length ? names.map(key) : null)
const position = (text) => JSON.parse(Buffer.from(text, 'base64url').toString())
const cursor = (...parts) => Buffer.from(JSON.stringify(parts)).toString('base64url')

// The fields of a due, which depend on each other.
function dueOf(body, user) {
  const { due_date = null, due_at = null, time_zone = null } = body
  if (due_date !== null && due_at !== null) throw new Refused(422, 'give due_date or due_at')
  if (due_at === null && time_zone !== null) throw new Refused(422, 'time_zone belongs to due_at')
  return [due_date, due_at, due_at === null ? null : (time_zone ?? user.time_zone)]
}

app.get(`${PREFIX}/tasks`, { schema: listing }, async (request) => {
  const { limit, skip, cursor: after, status, priority, label, q } = request.query
  const values = [request.user.id]
  const place = (value) => `$${values.push(value)}`
  const tests = ['owner_id = $1']
  if (status !== undefined) {
    const numbers = status.flatMap((word) => GROUPS[word] ?? word).map((x) => STATUSES.indexOf(x))
    tests.push(`status = ANY(${place(numbers)}::smallint[])`)
  }
  if (priority !== undefined) {
    const numbers = priority.map((word) => PRIORITIES.indexOf(word))
    tests.push(`priority = ANY(${place(numbers)}::smallint[])`)
  }
  if (label !== undefined) tests.push(`label_keys && ${place(label.map(key))}::text[]`)
  let [from, rank, order] = ['tasks', '', 'page.id DESC']
  if (q !== undefined) {
    const wanted = q.toLowerCase().match(/[\p{L}\p{N}]+/gu)
    if (wanted === null) throw new Refused(422, 'q needs a letter or a digit')
    const query = place(wanted.map((word) => `${word}:*`).join(' & '))
    from = `tasks, to_tsquery('simple', ${query}) AS query`
    tests.push('words @@ query')
    rank = ', ts_rank(words, query) AS rank'
    order = 'page.rank DESC, page.id DESC'
  }
  const counted = tests.join(' AND ')
  if (after !== undefined) tests.push(`id < ${place(position(after)[0])}::bigint`)
  const found = await rows(
    `SELECT counted.total, page.* FROM (SELECT count(*) AS total FROM ${from} WHERE ${counted})` +
      ` AS counted LEFT JOIN LATERAL (SELECT ${FIELDS}${rank} FROM ${from}` +
      ` WHERE ${tests.join(' AND ')} ORDER BY ${order.replaceAll('page.', '')}` +
      ` LIMIT ${place(limit + 1)} OFFSET ${place(skip)}) AS page ON true ORDER BY ${order}`,
    values,
  )
  const items = found[0].id === null ? [] : found.slice(0, limit)
  return {
    items: items.map(shown),
    total: found[0].total,
    skip,
    limit,
    next_cursor: found.length > limit ? cursor(items.at(-1).id) : null,
  }
})

app.post(
  `${PREFIX}/tasks`,
  { schema: { body: { ...draft, required: ['title'] }, response: { 201: task } } },
  async (request, reply) => {
    const { body, user } = request
    const [row] = await rows(CREATE, [
      user.id,
      body.title,
      body.description ?? '',
      STATUSES.indexOf(body.status ?? 'todo'),
      PRIORITIES.indexOf(body.priority ?? 'none'),
      ...dueOf(body, user),
      body.labels ?? [],
      keys(body.labels),
    ])
    reply.code(201).header('location', `${PREFIX}/tasks/${row.id}`)
    reply.header('etag', `"${row.edition}"`)
    return shown(row)
  },
)

app.get(
  `${PREFIX}/tasks/:id`,
  { schema: { params: one, response: { 200: task } } },
  async (request, reply) => {
    const [row] = await rows(GET, [request.params.id])
    const { id, role } = request.user
    const task = found(row?.owner_id === id || role === 'admin' ? row : undefined)
    reply.header('etag', `"${task.version}"`)
    return task
  },
)

app.put(
  `${PREFIX}/tasks/:id`,
  { schema: { params: one, body: draft, response: { 200: task } } },
  async (request, reply) => {
    const { body, user } = request
    const named = ['due_date', 'due_at', 'time_zone'].some((name) => name in body)
    const [due_date, due_at, time_zone] = named ? dueOf(body, user) : [null, null, null]
    const [row] = await rows(EDIT, [
      request.params.id,
      user.id,
      user.role === 'admin',
      body.title ?? null,
      body.description ?? null,
      body.status === undefined ? null : STATUSES.indexOf(body.status),
      body.priority === undefined ? null : PRIORITIES.indexOf(body.priority),
      body.labels ?? null,
      keys(body.labels),
      due_date,
      due_at,
      named,
      time_zone,
    ])
    const task = found(row)
    reply.header('etag', `"${task.version}"`)
    return task
  },
)

app.delete(`${PREFIX}/tasks/:id`, { schema: { params: one } }, async (request, reply) => {
  const { id, role } = request.user
  const [row] = await rows(DELETE, [request.params.id, id, role === 'admin'])
  if (row === undefined) throw new Refused(404, 'There is no such task')
  return reply.code(204).send()
})

// By the time of the last change. So it tells of no deletion, and a reader may miss a change that is
// committed after a later one: what is simple to write by hand.
app.get(`${PREFIX}/changes`, { schema: changing }, async (request) => {
  const { limit, cursor: after } = request.query
  const found = await rows(CHANGES, [request.user.id, ...position(after), limit + 1])
  const tasks = found.slice(0, limit)
  const last = tasks.at(-1)
  return {
    items: tasks.map((row) => ({ type: 'task', id: row.id, change: 'upserted', task: shown(row) })),
    cursor: last === undefined ? after : cursor(last.updated_at, last.id),
    has_more: found.length > limit,
  }
})

await app.listen({ host: '127.0.0.1', port: Number(process.env.SERVER_PORT) })
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, async () => {
    await app.close()
    await sql.end({ timeout: 1 })
  })
}
