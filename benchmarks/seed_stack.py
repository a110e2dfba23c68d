"""The seed stack: a task API as FastAPI's tutorials and templates write it.

FastAPI, Pydantic, SQLAlchemy's ORM with a session for each request, uvicorn, a bearer token whose
user is loaded on each request, bcrypt in a thread, and a list with its total. Neither tuned nor
crippled: its tables have the same indexes as ours, and the pool is the default one. With
synchronous sessions, as older templates have them, it is as fast with few clients, but stops with
128: its 40 threads then wait for connections that are held by requests that wait for a thread.
"""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import bcrypt
import jwt
from fastapi import Depends, FastAPI, HTTPException, Query, Response, status
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, EmailStr, Field
from sqlalchemy import BigInteger, ForeignKey, Index, Text, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

PORT = 8102
ALGORITHM = "HS256"
SECRET_KEY = os.environ.get("SECRET_KEY", "")

# db/session.py

engine = create_async_engine(os.environ.get("BENCH_DATABASE_URL", "postgresql+psycopg://"))
SessionLocal = async_sessionmaker(bind=engine, expire_on_commit=False)


async def get_db() -> AsyncIterator[AsyncSession]:
    async with SessionLocal() as db:
        yield db


Db = Annotated[AsyncSession, Depends(get_db)]

# models/


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    email: Mapped[str] = mapped_column(Text, unique=True)
    hashed_password: Mapped[str] = mapped_column(Text)
    full_name: Mapped[str | None] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text, default="user")
    is_active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


class Task(Base):
    __tablename__ = "tasks"
    __table_args__ = (Index("tasks_owner_id_id_idx", "owner_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    title: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text, default="")
    owner_id: Mapped[int] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


# schemas/


class UserOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    email: EmailStr
    full_name: str | None
    role: str
    is_active: bool
    created_at: datetime
    updated_at: datetime


class TaskOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    title: str
    description: str
    owner_id: int
    created_at: datetime
    updated_at: datetime


class TaskList(BaseModel):
    items: list[TaskOut]
    total: int
    skip: int
    limit: int


class TaskCreate(BaseModel):
    title: str = Field(min_length=1, max_length=255)
    description: str = Field(default="", max_length=5000)


class TaskUpdate(BaseModel):
    title: str | None = Field(default=None, min_length=1, max_length=255)
    description: str | None = Field(default=None, max_length=5000)


class Login(BaseModel):
    email: EmailStr
    password: str


class Refresh(BaseModel):
    refresh_token: str


class Tokens(BaseModel):
    access_token: str
    refresh_token: str
    token_type: str = "bearer"  # noqa: S105 - the name of a scheme
    user: UserOut


# core/security.py, core/dependencies.py


def create_token(user_id: int, kind: str, lifetime: timedelta, key: str = SECRET_KEY) -> str:
    payload = {"sub": str(user_id), "type": kind, "exp": datetime.now(UTC) + lifetime}
    return jwt.encode(payload, key, ALGORITHM)


async def user_of(db: AsyncSession, token: str, kind: str) -> User:
    unauthorized = HTTPException(status.HTTP_401_UNAUTHORIZED, "Could not validate credentials")
    try:
        payload = jwt.decode(token, SECRET_KEY, algorithms=[ALGORITHM])
    except jwt.PyJWTError:
        raise unauthorized from None
    user = await db.get(User, int(payload["sub"])) if payload.get("type") == kind else None
    if user is None or not user.is_active:
        raise unauthorized
    return user


bearer = HTTPBearer()


async def get_current_user(
    db: Db, credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]
) -> User:
    return await user_of(db, credentials.credentials, "access")


CurrentUser = Annotated[User, Depends(get_current_user)]

# api/v1/

app = FastAPI(title="Task Management API")


def tokens_for(user: User) -> Tokens:
    return Tokens(
        access_token=create_token(user.id, "access", timedelta(minutes=30)),
        refresh_token=create_token(user.id, "refresh", timedelta(days=7)),
        user=UserOut.model_validate(user),
    )


@app.post("/api/v1/auth/login", response_model=Tokens)
async def login(data: Login, db: Db) -> Any:
    user = await db.scalar(select(User).where(User.email == data.email))
    if user is None or not await run_in_threadpool(
        bcrypt.checkpw, data.password.encode(), user.hashed_password.encode()
    ):
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "Incorrect email or password")
    return tokens_for(user)


@app.post("/api/v1/auth/refresh", response_model=Tokens)
async def refresh(data: Refresh, db: Db) -> Any:
    return tokens_for(await user_of(db, data.refresh_token, "refresh"))


async def get_own_task(db: AsyncSession, user: User, task_id: int) -> Task:
    task = await db.get(Task, task_id)
    if task is None or (task.owner_id != user.id and user.role != "admin"):
        raise HTTPException(status.HTTP_404_NOT_FOUND, "Task not found")
    return task


@app.post("/api/v1/tasks", response_model=TaskOut, status_code=status.HTTP_201_CREATED)
async def create_task(data: TaskCreate, db: Db, user: CurrentUser) -> Any:
    task = Task(**data.model_dump(), owner_id=user.id)
    db.add(task)
    await db.commit()
    await db.refresh(task)
    return task


@app.get("/api/v1/tasks", response_model=TaskList)
async def list_tasks(
    db: Db,
    user: CurrentUser,
    skip: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 100,
) -> Any:
    query = select(Task)
    if user.role != "admin":
        query = query.where(Task.owner_id == user.id)
    total = await db.scalar(select(func.count()).select_from(query.subquery()))
    items = await db.scalars(query.order_by(Task.id.desc()).offset(skip).limit(limit))
    return {"items": items.all(), "total": total, "skip": skip, "limit": limit}


@app.get("/api/v1/tasks/{task_id}", response_model=TaskOut)
async def get_task(task_id: int, db: Db, user: CurrentUser) -> Any:
    return await get_own_task(db, user, task_id)


@app.put("/api/v1/tasks/{task_id}", response_model=TaskOut)
async def update_task(task_id: int, data: TaskUpdate, db: Db, user: CurrentUser) -> Any:
    task = await get_own_task(db, user, task_id)
    for name, value in data.model_dump(exclude_unset=True).items():
        setattr(task, name, value)
    await db.commit()
    await db.refresh(task)
    return task


@app.delete("/api/v1/tasks/{task_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_task(task_id: int, db: Db, user: CurrentUser) -> Response:
    await db.delete(await get_own_task(db, user, task_id))
    await db.commit()
    return Response(status_code=status.HTTP_204_NO_CONTENT)


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, port=PORT, access_log=False)
